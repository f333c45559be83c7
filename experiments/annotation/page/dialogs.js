// Dialogs: the help, the question before an object is removed, and the export.

import { describeRuns } from "./runs.js";
import { nameOf } from "./state.js";

export function fillHelp(table, body) {
  const groups = new Map();
  for (const { group, shown, text } of table) {
    if (!groups.has(group)) {
      const section = document.createElement("section");
      const heading = document.createElement("h3");
      heading.textContent = group;
      const list = document.createElement("dl");
      section.append(heading, list);
      body.append(section);
      groups.set(group, list);
    }
    const term = document.createElement("dt");
    shown.forEach((key) => {
      const sign = document.createElement("kbd");
      sign.textContent = key;
      term.append(sign, " ");
    });
    const meaning = document.createElement("dd");
    meaning.textContent = text;
    groups.get(group).append(term, meaning);
  }
}

/** Closes by its Close button, Esc, or a click beside it. */
function closable(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) {
      dialog.close();
    }
  });
}

export class Dialogs {
  #removing = null;

  constructor(state, link, elements) {
    this.state = state;
    this.link = link;
    this.elements = elements; // {help, remove, export}
    Object.values(elements).forEach(closable);
    elements.remove.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      elements.remove.close();
      link.edit("remove_object", { id: this.#removing });
    });
    elements.export.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#export();
    });
    elements.export.addEventListener("change", () => this.#check());
    elements.export.addEventListener("input", () => this.#check());
    link.onExportRefused = (stale) => this.openExport(stale);
  }

  openHelp() {
    this.elements.help.showModal();
  }

  askToRemove(id) {
    const object = this.state.objectById(id);
    if (object) {
      const dialog = this.elements.remove;
      const frames = object.prompts.length;
      this.#removing = id;
      dialog.querySelector("h2").textContent = `Remove ${nameOf(object)}?`;
      dialog.querySelector("p").textContent =
        `Its prompts on ${frames} frame${frames === 1 ? "" : "s"} and all its masks go. `
        + "Undo brings it back.";
      dialog.showModal();
    }
  }

  /** `stale`: {id: runs} as the server refused it; otherwise what the timeline knows. */
  openExport(stale = this.#staleNow()) {
    const dialog = this.elements.export;
    const list = dialog.querySelector("#stale-list");
    list.replaceChildren(...Object.entries(stale).map(([id, runs]) => {
      const item = document.createElement("li");
      const object = this.state.objectById(Number(id));
      item.textContent = `${object ? nameOf(object) : id}: ${describeRuns(runs)}`;
      return item;
    }));
    dialog.querySelector("#stale").hidden = list.children.length === 0;
    dialog.querySelector("#export-folder").textContent = this.state.session.output;
    this.#check();
    if (!dialog.open) {
      dialog.showModal();
    }
  }

  #staleNow() {
    const objects = Object.entries(this.state.timeline?.objects ?? {});
    return Object.fromEntries(
      objects.map(([id, { stale }]) => [id, stale]).filter(([, stale]) => stale.length > 0),
    );
  }

  #chosen() {
    const form = this.elements.export.querySelector("form");
    const data = new FormData(form);
    return {
      formats: data.getAll("format"),
      name: String(data.get("name")).trim(),
      trackFirst: data.get("stale") === "track" && !form.querySelector("#stale").hidden,
    };
  }

  #check() {
    const { formats, name } = this.#chosen();
    // The rule of the server: the name of a folder, not a way out of it.
    const goodName = /^[\p{L}\p{N}_][\p{L}\p{N}_ .-]{0,79}$/u.test(name);
    const wrong = formats.length === 0 ? "Choose at least one format."
      : goodName ? "" : "The name: letters, digits, spaces and _ - . only, and not a dot first.";
    this.elements.export.querySelector("#export-error").textContent = wrong;
    this.elements.export.querySelector("[type=submit]").disabled = wrong !== "";
  }

  async #export() {
    const { formats, name, trackFirst } = this.#chosen();
    this.elements.export.close();
    if (trackFirst && await this.link.hasStale()) {
      this.link.track("both", null, () => this.link.export(formats, name, false));
    } else if (trackFirst) {
      this.link.export(formats, name, false);
    } else {
      const knows = !this.elements.export.querySelector("#stale").hidden;
      this.link.export(formats, name, knows);
    }
  }
}
