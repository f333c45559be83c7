// Puts the parts together.

import { Api } from "./api.js";
import { Dialogs, fillHelp } from "./dialogs.js";
import { Picture } from "./drawing.js";
import { Frames } from "./frames.js";
import { keyTable, listen } from "./keyboard.js";
import { Link } from "./link.js";
import { recall, remember } from "./memory.js";
import { ObjectList } from "./objects.js";
import { Panel } from "./panel.js";
import { Playback } from "./playback.js";
import { neighbour, promptedFrames, warningStarts } from "./runs.js";
import { State } from "./state.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const LOOK_AFTER = 150; // milliseconds on a frame, after which the next prompt is likely there

const byId = (id) => document.getElementById(id);
const canvas = byId("picture");
const state = new State();
const view = new View();
const api = new Api(new URLSearchParams(location.search).get("token") ?? "");
const frames = new Frames(state, api);
const link = new Link(state, api, frames);
const playback = new Playback(state, frames);
const tools = new Tools(state, view, canvas, link, playback);
const dialogs = new Dialogs(state, link, {
  help: byId("help"),
  remove: byId("remove"),
  export: byId("export"),
});
const objects = new ObjectList(state, byId("objects"), link, (id) => dialogs.askToRemove(id));

/** By the user: the tracking is no longer followed. */
function goTo(frame) {
  playback.stop();
  state.set({ following: false });
  frames.goTo(frame);
}

function withObject(action) {
  if (state.object === null) {
    state.say("There is no object yet. Click on one in the picture, or press N.");
  } else {
    action(state.object);
  }
}

const actions = {
  goTo,
  play: () => playback.toggle(),
  undo: () => link.edit("undo"),
  redo: () => link.edit("redo"),
  addObject: () => link.edit("add_object", { name: null }),
  rename: () => withObject((id) => objects.rename(id)),
  toggleObject: () => withObject((id) => objects.toggle(id)),
  removeObject: () => withObject((id) => dialogs.askToRemove(id)),
  clearPrompts: () => withObject((id) => link.edit("clear_prompts", { id, frame: state.frame })),
  openHelp: () => dialogs.openHelp(),
  openExport: () => byId("open-export").disabled || dialogs.openExport(),
  choosePlace: (digit) => {
    const object = state.session.objects[(Number(digit) + 9) % 10];
    if (object) {
      state.set({ object: object.id });
    } else {
      state.say(`There is no object ${digit}.`);
    }
  },
  track: (direction) => {
    playback.stop();
    link.track(direction, state.limit);
  },
  cancel: () => {
    // One thing at a time, the nearest first.
    if (tools.abandon()) {
      return;
    }
    if (state.corner) {
      state.set({ corner: null });
    } else if (state.job) {
      link.cancel();
    } else {
      state.set({ cross: null });
    }
  },
  changeOpacity: (by) => {
    state.set({ opacity: Math.min(Math.max(Math.round((state.opacity + by) * 10) / 10, 0), 1) });
  },
  focusJump: () => byId("jump").focus(),
  goToPrompt: (direction) => {
    const frame = neighbour(promptedFrames(state.session), state.wanted, direction);
    if (frame === undefined) {
      state.say(`No prompt ${direction < 0 ? "before" : "after"} this frame.`);
    } else {
      goTo(frame);
    }
  },
  goToWarning: (direction) => {
    const frame = neighbour(warningStarts(state.timeline), state.wanted, direction);
    if (frame === undefined) {
      state.say(`No warning ${direction < 0 ? "before" : "after"} this frame.`);
    } else {
      goTo(frame);
    }
  },
};

function exposeState() {
  const data = document.body.dataset;
  data.connection = state.connection;
  data.frame = state.shown?.frame ?? "";
  data.object = state.object ?? "";
  data.revision = state.session?.revision ?? "";
  data.shownRevision = state.shown?.revision ?? "";
  data.timelineRevision = state.timeline?.revision ?? "";
  data.pending = state.pending.length;
  data.playing = state.playing;
  data.opacity = state.opacity;
  data.radius = state.radius;
  data.cross = state.cross ?? "";
}

function exposeView() {
  canvas.dataset.zoom = view.scale;
  canvas.dataset.left = view.left;
  canvas.dataset.top = view.top;
  document.body.dataset.zoom = view.scale;
}

function start() {
  new Picture(state, view, canvas);
  new Timeline(state, {
    slider: byId("timeline"),
    ruler: byId("ruler"),
    rows: byId("rows"),
    labels: byId("row-labels"),
  }, goTo);
  new Panel(state, view, tools, actions);
  const table = keyTable({ state, tools, actions });
  listen(table, { state, tools, playback });
  fillHelp(table, byId("help-body"));
  state.watch(["view"], exposeView);
  state.watch([
    "connection", "shown", "object", "session", "timeline", "pending", "playing", "opacity",
    "radius", "cross",
  ], exposeState);
  state.watch(["connection"], () => {
    const denied = state.connection === "denied";
    byId("page").hidden = denied;
    byId("denied").hidden = !denied;
  });
  let look = null;
  state.watch(["shown", "playing", "job"], () => {
    clearTimeout(look);
    if (state.shown && !state.playing && !state.job) {
      look = setTimeout(() => link.look(state.frame), LOOK_AFTER);
    }
  });
  // After a click on a control the keys are those of the picture again: Space plays, and does not
  // press the same button once more. Those who use the keyboard keep the focus where it is.
  byId("page").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && event.detail > 0 && document.activeElement === button) {
      canvas.focus({ preventScroll: true });
    }
  });
  for (const control of document.querySelectorAll("#page :is([type=range], [type=checkbox])")) {
    control.addEventListener("pointerup", () => canvas.focus({ preventScroll: true }));
  }
  byId("limit").addEventListener("change", () => canvas.focus({ preventScroll: true }));
  link.follow(() => {
    const { width, height } = state.session.video;
    view.setVideo(width, height);
    const radius = Math.max(1, Math.round(Math.min(width, height) / 40));
    state.set({ radius, view: state.view + 1 });
    frames.goTo(recall(state, view));
    remember(state, view);
  });
}

start();
