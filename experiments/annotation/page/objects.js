// The list of objects: choose, rename in place, show or hide, remove.

import { nameOf } from "./state.js";

const MEANING = {
  stale: "Something was corrected since; tracking renews this mask.",
  provisional: "The answer to a prompt that tracking has not reached yet.",
  low: "The model is not sure of this mask.",
};

export class ObjectList {
  #rows = new Map(); // id -> elements

  constructor(state, list, link, askToRemove) {
    this.state = state;
    this.list = list;
    this.link = link;
    this.askToRemove = askToRemove;
    state.watch(["session", "object", "hidden", "shown"], () => this.#render());
  }

  #render() {
    const { objects } = this.state.session;
    for (const [id, row] of this.#rows) {
      if (!this.state.objectById(id)) {
        row.item.remove();
        this.#rows.delete(id);
      }
    }
    objects.forEach((object, place) => {
      if (!this.#rows.has(object.id)) {
        this.#rows.set(object.id, this.#build(object.id));
      }
      const row = this.#rows.get(object.id);
      if (this.list.children[place] !== row.item) {
        this.list.insertBefore(row.item, this.list.children[place] ?? null);
      }
      this.#fill(row, object, place);
    });
  }

  #build(id) {
    const template = document.getElementById("object-row");
    const item = template.content.firstElementChild.cloneNode(true);
    const part = (name) => item.querySelector(`.${name}`);
    const row = {
      item,
      choose: part("choose"),
      swatch: part("swatch"),
      name: part("name"),
      input: part("name-field"),
      answer: part("answer"),
      show: part("show"),
      rename: part("rename"),
      remove: part("remove"),
    };
    item.dataset.object = id;
    row.choose.addEventListener("click", () => this.state.set({ object: id }));
    row.choose.addEventListener("dblclick", () => this.rename(id));
    row.show.addEventListener("click", () => this.toggle(id));
    row.rename.addEventListener("click", () => this.rename(id));
    row.remove.addEventListener("click", () => this.askToRemove(id));
    row.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        this.#endRename(id, true);
      } else if (event.key === "Escape") {
        this.#endRename(id, false);
      }
    });
    row.input.addEventListener("blur", () => this.#endRename(id, true));
    return row;
  }

  #fill(row, object, place) {
    const { state } = this;
    const name = nameOf(object);
    const chosen = object.id === state.object;
    const hidden = state.hidden.has(object.id);
    if (chosen && !row.item.classList.contains("chosen")) {
      row.item.scrollIntoView({ block: "nearest" });
    }
    row.item.classList.toggle("chosen", chosen);
    row.item.classList.toggle("hidden-object", hidden);
    row.choose.setAttribute("aria-pressed", chosen);
    row.choose.title = place < 10 ? `Choose ${name} (${(place + 1) % 10})` : `Choose ${name}`;
    row.swatch.textContent = object.id;
    row.swatch.style.background = object.colour;
    row.swatch.style.color = inkOn(object.colour);
    row.name.textContent = name;
    const { text, kind } = describeAnswer(object, state);
    row.answer.textContent = text;
    row.answer.dataset.kind = kind;
    row.answer.title = MEANING[kind] ?? "";
    label(row.show, `${hidden ? "Show" : "Hide"} ${name}`);
    row.show.setAttribute("aria-pressed", !hidden);
    label(row.rename, `Rename ${name}`, "F2");
    label(row.remove, `Remove ${name}`, "Delete");
    row.input.setAttribute("aria-label", `New name of ${name}`);
  }

  toggle(id) {
    const hidden = new Set(this.state.hidden);
    if (!hidden.delete(id)) {
      hidden.add(id);
    }
    this.state.set({ hidden });
  }

  rename(id) {
    const row = this.#rows.get(id);
    if (row) {
      row.input.value = this.state.objectById(id).name ?? "";
      row.input.hidden = false;
      row.choose.hidden = true;
      row.input.focus();
      row.input.select();
    }
  }

  #endRename(id, keep) {
    const row = this.#rows.get(id);
    if (!row || row.input.hidden) {
      return;
    }
    row.input.hidden = true; // first: hiding it takes the focus away, which ends up here again
    row.choose.hidden = false;
    const name = row.input.value.trim();
    const object = this.state.objectById(id);
    if (keep && object && name !== (object.name ?? "")) {
      this.link.edit("rename_object", { id, name });
    }
  }
}

function label(button, text, key = "") {
  button.setAttribute("aria-label", text);
  button.title = key ? `${text} (${key})` : text;
}

/** What the model says about an object on the frame that is seen. */
function describeAnswer(object, state) {
  const answer = state.shown?.objects[object.id];
  if (object.prompts.length === 0) {
    return { text: "No prompt yet", kind: "none" };
  }
  if (!answer || answer.state === "none") {
    return { text: "Not tracked here", kind: "none" };
  }
  const score = answer.present && answer.iou !== null ? ` ${answer.iou.toFixed(2)}` : "";
  if (answer.state === "stale") {
    return { text: `Out of date${score}`, kind: "stale" };
  }
  if (answer.state === "provisional") {
    return { text: `Preview${score}`, kind: "provisional" };
  }
  if (!answer.present) {
    return { text: "Not in view", kind: "fresh" };
  }
  if (score && answer.iou < state.session.low_score) {
    return { text: `Low score${score}`, kind: "low" };
  }
  return { text: `Score${score}`, kind: "fresh" };
}

/** Black or white, whichever is read better on a colour (WCAG 2). */
function inkOn(colour) {
  const value = parseInt(colour.slice(1), 16);
  const [r, g, b] = [16, 8, 0].map((shift) => {
    const part = ((value >> shift) & 255) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}
