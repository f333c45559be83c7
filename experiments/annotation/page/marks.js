// Draws prompts, gestures and the cross-hair over the picture, in CSS pixels: they keep their size.

const RADIUS = 7; // of the ring of a point
const DARK = "#000000";

/** A box or point twice: dark and wide, then light and narrow, to be seen on any tissue. */
function outlined(context, colour, width, draw) {
  context.lineWidth = width + 2;
  context.strokeStyle = "rgba(0, 0, 0, 0.65)";
  draw();
  context.lineWidth = width;
  context.strokeStyle = colour;
  draw();
}

function drawPoint(context, view, [x, y], positive, colour, faint) {
  const [cssX, cssY] = view.toCss(x + 0.5, y + 0.5);
  context.globalAlpha = faint ? 0.6 : 1;
  context.beginPath();
  context.arc(cssX, cssY, RADIUS, 0, 2 * Math.PI);
  context.fillStyle = positive ? colour : "#ffffff";
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = DARK;
  context.stroke();
  const arm = RADIUS - 3;
  context.beginPath();
  context.moveTo(cssX - arm, cssY);
  context.lineTo(cssX + arm, cssY);
  if (positive) {
    context.moveTo(cssX, cssY - arm);
    context.lineTo(cssX, cssY + arm);
  }
  context.lineWidth = 2;
  context.stroke();
  context.globalAlpha = 1;
}

/** The whole of the pixels from one corner to the other, both included. */
function drawBox(context, view, [x0, y0, x1, y1], colour, dashed) {
  const [left, top] = view.toCss(x0, y0);
  const [right, bottom] = view.toCss(x1 + 1, y1 + 1);
  context.setLineDash(dashed ? [6, 4] : []);
  outlined(context, colour, 2, () => context.strokeRect(left, top, right - left, bottom - top));
  context.setLineDash([]);
}

/** What was said about the objects on this frame, and what is on its way to the server. */
export function drawPrompts(context, view, state) {
  const { frame } = state.shown;
  for (const object of state.session.objects) {
    const prompt = object.prompts.find((prompt) => prompt.frame === frame);
    if (prompt && !state.hidden.has(object.id)) {
      const faint = object.id !== state.object;
      if (prompt.box) {
        drawBox(context, view, prompt.box, object.colour, false);
      }
      prompt.points.forEach((point, i) => {
        drawPoint(context, view, point, prompt.labels[i] === 1, object.colour, faint);
      });
    }
  }
  const colour = currentColour(state);
  for (const { op, values } of state.pending) {
    if (values.frame === frame && op === "add_point") {
      drawPoint(context, view, [values.x, values.y], values.label === 1, colour, true);
    } else if (values.frame === frame && op === "set_box") {
      drawBox(context, view, values.box, colour, true);
    } else if (values.frame === frame && op === "paint") {
      drawStroke(context, view, values.stroke, values.radius, values.erase, colour);
    }
  }
}

export function drawGesture(context, view, state) {
  const { gesture, corner, cross } = state;
  const colour = currentColour(state);
  if (gesture?.kind === "box") {
    drawBox(context, view, gesture.box, colour, true);
  } else if (gesture?.kind === "stroke") {
    drawStroke(context, view, gesture.stroke, state.radius, gesture.erase, colour);
  } else if (corner && cross) {
    drawBox(context, view, boxOf(corner, cross), colour, true);
  }
}

function drawStroke(context, view, stroke, radius, erase, colour) {
  context.save();
  view.useVideoPixels(context);
  context.lineCap = "round";
  context.lineJoin = "round";
  context.lineWidth = 2 * radius + 1;
  context.globalAlpha = 0.55;
  context.strokeStyle = erase ? "#ffffff" : colour;
  context.beginPath();
  // A line, however short, so that a single dab is drawn as well.
  context.moveTo(stroke[0][0] + 0.501, stroke[0][1] + 0.5);
  stroke.forEach(([x, y]) => context.lineTo(x + 0.5, y + 0.5));
  context.stroke();
  context.restore();
}

/** The pixel under the pointer where pixels are large, or the rim of the brush. */
export function drawPointer(context, view, state) {
  const { hover, tool } = state;
  if (!hover || state.gesture?.kind === "box") {
    return;
  }
  if (tool === "point") {
    if (view.scale >= 6) {
      const [x, y] = view.toCss(...hover);
      outlined(context, "#ffffff", 1, () => context.strokeRect(x, y, view.scale, view.scale));
    }
  } else {
    drawRim(context, view, hover, state);
  }
}

function drawRim(context, view, [x, y], { radius, tool }) {
  const [cssX, cssY] = view.toCss(x + 0.5, y + 0.5);
  context.beginPath();
  context.arc(cssX, cssY, (radius + 0.5) * view.scale, 0, 2 * Math.PI);
  context.setLineDash(tool === "erase" ? [4, 3] : []);
  outlined(context, "#ffffff", 1, () => context.stroke());
  context.setLineDash([]);
}

export function drawCross(context, view, state) {
  if (!state.cross) {
    return;
  }
  const [x, y] = view.toCss(state.cross[0] + 0.5, state.cross[1] + 0.5);
  const gap = Math.max(8, view.scale / 2 + 3);
  const reach = 28;
  context.beginPath();
  for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) {
    context.moveTo(x + dx * gap, y + dy * gap);
    context.lineTo(x + dx * (gap + reach), y + dy * (gap + reach));
  }
  outlined(context, "#ffffff", 1.5, () => context.stroke());
  context.fillStyle = "#ffffff";
  context.fillRect(x - 1, y - 1, 2, 2);
  if (state.tool !== "point") {
    drawRim(context, view, state.cross, state);
  }
}

export function boxOf([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

function currentColour(state) {
  return state.objectById(state.object)?.colour ?? "#ffffff";
}
