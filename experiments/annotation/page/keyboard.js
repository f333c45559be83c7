// One table of keys: what it says is what the keys do, and what the help shows.

const NAMES = {
  ArrowLeft: "Left", ArrowRight: "Right", ArrowUp: "Up", ArrowDown: "Down", " ": "Space",
  Escape: "Esc",
};
const TEXT_FIELDS = "input[type=text], input[type=number], textarea, select";
// Keys that a control with the focus keeps for itself.
const OWN_KEYS = [
  ["button, summary, a[href]", ["Space", "Enter"]],
  ["input[type=range]", ["Left", "Right", "Up", "Down", "Home", "End"]],
  ["input[type=checkbox]", ["Space"]],
];

/** "Shift+P", "Alt+P", "?", "Ctrl+Z": the name of what was pressed, as in the table. */
export function keyName(event) {
  let key = NAMES[event.key] ?? event.key;
  // Alt gives other characters on a Mac, and other alphabets have no P: then the place counts.
  if (event.code.startsWith("Key") && (event.altKey || key.length > 1 || key > "~")) {
    key = event.code.slice(3);
  }
  const single = key.length === 1;
  const letter = single && key.toLowerCase() !== key.toUpperCase();
  const command = event.ctrlKey || event.metaKey;
  if (single && !letter && key !== " ") {
    // How a sign is typed is the keyboard's affair: Shift on one, AltGr (Ctrl and Alt) on another.
    return command && !event.altKey ? `Ctrl+${key}` : key;
  }
  const alt = event.altKey && !event.getModifierState("AltGraph");
  return `${command ? "Ctrl+" : ""}${alt ? "Alt+" : ""}${event.shiftKey ? "Shift+" : ""}${
    letter ? key.toUpperCase() : key}`;
}

/**
 * Rows of {group, keys, shown, text, run(key)}. Those without `run` are done with the pointer;
 * `shown` is what the help writes for `keys`.
 */
export function keyTable({ state, tools, actions }) {
  const group = (name, rows) => rows.map((row) => ({ group: name, shown: row.keys, ...row }));
  const jump = (distance) => actions.goTo(state.wanted + distance);
  const cross = { I: [0, -1], J: [-1, 0], K: [0, 1], L: [1, 0] };
  const move = (key) => {
    const [dx, dy] = cross[key.at(-1)];
    const far = key.startsWith("Shift+") ? 1 : 10;
    tools.moveCross(dx * far, dy * far);
  };
  const digits = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"];
  return [
    ...group("Prompts", [
      { keys: ["Click"], text: "On the object" },
      { keys: ["Right click", "Alt+Click"], text: "Not on the object" },
      { keys: ["Drag"], text: "A box, or a stroke of the brush" },
      { keys: ["V"], text: "Points and boxes", run: () => state.set({ tool: "point" }) },
      { keys: ["G"], text: "Brush", run: () => state.set({ tool: "brush" }) },
      { keys: ["E"], text: "Eraser", run: () => state.set({ tool: "erase" }) },
      { keys: ["{"], text: "Smaller brush", run: () => tools.changeRadius(-1) },
      { keys: ["}"], text: "Larger brush", run: () => tools.changeRadius(1) },
      {
        keys: ["Backspace"],
        text: "Take back the object's prompts here", run: actions.clearPrompts,
      },
      { keys: ["U", "Ctrl+Z"], text: "Undo", run: actions.undo },
      { keys: ["Shift+U", "Ctrl+Shift+Z", "Ctrl+Y"], text: "Redo", run: actions.redo },
    ]),
    ...group("Without a pointer", [
      {
        keys: ["I", "J", "K", "L"], shown: ["I J K L"],
        text: "Move the cross-hair 10 pixels", run: move,
      },
      {
        keys: ["Shift+I", "Shift+J", "Shift+K", "Shift+L"], shown: ["Shift+I J K L"],
        text: "Move it 1 pixel", run: move,
      },
      { keys: ["Enter"], text: "On the object", run: () => tools.pointAtCross(true) },
      { keys: ["Shift+Enter"], text: "Not on the object", run: () => tools.pointAtCross(false) },
      { keys: ["B"], text: "Corner of a box, twice", run: () => tools.cornerAtCross() },
      { keys: ["D"], text: "Dab with brush or eraser", run: () => tools.dabAtCross() },
    ]),
    ...group("Objects", [
      {
        keys: digits, shown: ["1", "…", "9", "0"],
        text: "Choose an object; 0 the tenth", run: actions.choosePlace,
      },
      { keys: ["N"], text: "New object", run: actions.addObject },
      { keys: ["F2"], text: "Rename", run: actions.rename },
      { keys: ["H"], text: "Show or hide", run: actions.toggleObject },
      { keys: ["Delete"], text: "Remove", run: actions.removeObject },
    ]),
    ...group("Frames", [
      { keys: ["Left", "Right"], text: "One frame", run: (key) => jump(key === "Left" ? -1 : 1) },
      {
        keys: ["Shift+Left", "Shift+Right"],
        text: "Ten frames", run: (key) => jump(key === "Shift+Left" ? -10 : 10),
      },
      {
        keys: ["Home", "End"],
        text: "First, last frame",
        run: (key) => actions.goTo(key === "Home" ? 0 : state.frames - 1),
      },
      {
        keys: ["[", "]"],
        text: "Previous, next prompt", run: (key) => actions.goToPrompt(key === "[" ? -1 : 1),
      },
      {
        keys: [",", "."],
        text: "Previous, next warning", run: (key) => actions.goToWarning(key === "," ? -1 : 1),
      },
      { keys: ["F"], text: "Type a frame number", run: actions.focusJump },
      { keys: ["Space"], text: "Play or stop" }, // below, for it pans as well
    ]),
    ...group("Tracking and files", [
      { keys: ["P"], text: "Track forward", run: () => actions.track("forward") },
      { keys: ["Shift+P"], text: "Track back", run: () => actions.track("back") },
      { keys: ["Alt+P"], text: "Track both ways", run: () => actions.track("both") },
      { keys: ["Esc"], text: "Cancel what is under way", run: actions.cancel },
      { keys: ["X"], text: "Export", run: actions.openExport },
    ]),
    ...group("View", [
      { keys: ["+", "="], text: "Closer", run: () => tools.zoom(1.25) },
      { keys: ["-"], text: "Farther", run: () => tools.zoom(0.8) },
      { keys: ["Z"], text: "Whole frame", run: () => tools.fit() },
      { keys: ["Wheel"], text: "Zoom at the pointer" },
      { keys: ["Middle drag", "Space+Drag"], text: "Move the picture" },
      { keys: ["O"], text: "Stronger masks", run: () => actions.changeOpacity(0.1) },
      { keys: ["Shift+O"], text: "Fainter masks", run: () => actions.changeOpacity(-0.1) },
      { keys: ["?"], text: "This help", run: actions.openHelp },
    ]),
  ];
}

export function listen(table, { state, tools, playback }) {
  const commands = new Map();
  for (const { keys, run } of table) {
    for (const key of run ? keys : []) {
      commands.set(key, run);
    }
  }
  const isOurs = (event, key) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const own = OWN_KEYS.some(([selector, keys]) => target.matches(selector) && keys.includes(key));
    return !own && !target.matches(TEXT_FIELDS) && !document.querySelector("dialog[open]")
      && state.session !== null && state.connection !== "denied";
  };
  document.addEventListener("keydown", (event) => {
    const key = keyName(event);
    if (event.isComposing || !isOurs(event, key)) {
      return;
    }
    if (key === "Space") {
      event.preventDefault(); // the page does not scroll
      if (!event.repeat) {
        tools.spaceHeld = true;
        tools.spaceUsed = false;
      }
    } else if (commands.has(key)) {
      event.preventDefault();
      commands.get(key)(key);
    }
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && tools.spaceHeld) {
      tools.spaceHeld = false;
      if (!tools.spaceUsed) {
        playback.toggle(); // at the end of the press, for with a drag it pans
      }
    }
  });
  window.addEventListener("blur", () => {
    tools.spaceHeld = false;
  });
}
