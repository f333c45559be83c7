// What a reload brings back: kept by the browser for this tab, and for this video only.

const KEY = "surgjax-annotation";
const FIELDS = ["object", "tool", "radius", "opacity", "limit", "follow"];

export function remember(state, view) {
  const save = () => {
    if (state.session) {
      const chosen = Object.fromEntries(FIELDS.map((name) => [name, state[name]]));
      sessionStorage.setItem(KEY, JSON.stringify({
        ...chosen,
        path: state.session.video.path,
        frame: state.frame,
        hidden: [...state.hidden],
        view: view.save(),
      }));
    }
  };
  // Not at every frame of a held key, and when the page goes.
  let timer = null;
  state.watch([...FIELDS, "shown", "hidden", "view"], () => {
    clearTimeout(timer);
    timer = setTimeout(save, 300);
  });
  addEventListener("pagehide", save);
}

/** Sets the state to what was kept; gives the frame, 0 where nothing was. */
export function recall(state, view) {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    // Another version of this page has written something else.
  }
  if (kept?.path !== state.session.video.path) {
    return 0;
  }
  state.set(Object.fromEntries(FIELDS.map((name) => [name, kept[name]])));
  if (!state.objectById(state.object)) {
    state.set({ object: state.session.objects[0]?.id ?? null });
  }
  state.set({ hidden: new Set(kept.hidden), view: state.view + 1 });
  view.restore(kept.view);
  return kept.frame;
}
