// The controls around the picture: tools, frame field, tracking, progress, the line of messages.

import { countFrames } from "./runs.js";

const byId = (id) => document.getElementById(id);

export class Panel {
  constructor(state, view, tools, actions) {
    this.state = state;
    this.view = view;
    this.#listen(state, tools, actions);
    state.watch(["session"], () => this.#showVideo());
    state.watch(["tool", "radius", "opacity", "limit", "follow"], () => this.#showTools());
    state.watch(["wanted", "shown", "playing", "session"], () => this.#showFrame());
    state.watch(["session", "job", "connection", "pending", "timeline"], () => this.#showWork());
    state.watch(["hover", "cross"], () => this.#showPixel());
    state.watch(["message", "connection", "retry"], () => this.#showMessage());
    state.watch(["view", "session"], () => this.#showZoom());
    this.#showTools();
  }

  #listen(state, tools, actions) {
    const click = (id, action) => byId(id).addEventListener("click", () => action());
    for (const tool of ["point", "brush", "erase"]) {
      click(`tool-${tool}`, () => state.set({ tool }));
    }
    click("undo", actions.undo);
    click("redo", actions.redo);
    click("closer", () => tools.zoom(1.25));
    click("farther", () => tools.zoom(0.8));
    click("fit", () => tools.fit());
    click("open-export", actions.openExport);
    click("open-help", actions.openHelp);
    click("add-object", actions.addObject);
    click("track-back", () => actions.track("back"));
    click("track-both", () => actions.track("both"));
    click("track-forward", () => actions.track("forward"));
    click("cancel", actions.cancel);
    click("play", actions.play);
    click("step-back", () => actions.goTo(state.wanted - 1));
    click("step-forward", () => actions.goTo(state.wanted + 1));
    byId("radius").addEventListener("input", (event) => {
      state.set({ radius: Number(event.target.value) });
    });
    byId("opacity").addEventListener("input", (event) => {
      state.set({ opacity: Number(event.target.value) / 100 });
    });
    byId("limit").addEventListener("change", (event) => {
      state.set({ limit: Number(event.target.value) || null });
    });
    byId("follow").addEventListener("change", (event) => {
      const follow = event.target.checked;
      state.set({ follow, following: follow && state.job !== null });
    });
    const jump = byId("jump");
    jump.addEventListener("focus", () => jump.select());
    jump.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        jump.value = state.wanted;
      }
      if (event.key === "Enter" || event.key === "Escape") {
        jump.blur();
      }
    });
    jump.addEventListener("change", () => {
      if (jump.value !== "" && Number.isFinite(jump.valueAsNumber)) {
        actions.goTo(jump.valueAsNumber);
      }
      this.#showFrame();
    });
    jump.addEventListener("blur", () => this.#showFrame());
  }

  #showVideo() {
    const { video, model, objects, undo, redo } = this.state.session;
    document.title = `${video.name} – surgjax`;
    byId("video-name").textContent = video.name;
    byId("video-name").title = video.path;
    byId("video-facts").textContent =
      `${video.width} × ${video.height}, ${Number(video.fps.toFixed(2))} fps · ${model.name}`;
    byId("last-frame").textContent = `/ ${(video.frames - 1).toLocaleString("en")}`;
    byId("jump").max = video.frames - 1;
    byId("radius").max = Math.max(10, Math.round(Math.min(video.width, video.height) / 4));
    byId("first-steps").hidden = objects.length > 0;
    setAction("undo", "Undo", "U", undo);
    setAction("redo", "Redo", "Shift+U", redo);
  }

  #showTools() {
    const { tool, radius, opacity, limit, follow } = this.state;
    for (const each of ["point", "brush", "erase"]) {
      byId(`tool-${each}`).setAttribute("aria-pressed", each === tool);
    }
    document.body.dataset.tool = tool;
    byId("radius").value = radius;
    byId("radius").disabled = tool === "point";
    byId("radius-value").textContent = `${radius} px`;
    byId("opacity").value = Math.round(opacity * 100);
    byId("opacity-value").textContent = `${Math.round(opacity * 100)} %`;
    byId("limit").value = String(limit ?? "");
    byId("follow").checked = follow;
  }

  #showFrame() {
    const { wanted, shown, playing, session } = this.state;
    const jump = byId("jump");
    if (document.activeElement !== jump) {
      jump.value = wanted;
    }
    if (session) {
      byId("time").textContent = clock(wanted / session.video.fps);
    }
    const play = byId("play");
    play.setAttribute("aria-label", playing ? "Stop" : "Play");
    play.title = `${playing ? "Stop" : "Play"} (Space)`;
    play.dataset.playing = playing;
    document.body.dataset.loading = shown?.frame !== wanted;
  }

  #showWork() {
    const { session, job, connection, pending, timeline } = this.state;
    const ready = connection === "open" && session !== null;
    const prompted = session?.objects.some((object) => object.prompts.length > 0) ?? false;
    for (const id of ["track-back", "track-both", "track-forward"]) {
      byId(id).disabled = !ready || !prompted || job !== null;
    }
    byId("open-export").disabled = !ready || !prompted || job !== null;
    byId("add-object").disabled = !ready;
    byId("cancel").disabled = job === null;
    document.body.dataset.busy = job?.kind ?? (pending.length ? "edit" : "");
    byId("job").hidden = job === null;
    byId("no-job").hidden = job !== null;
    if (job) {
      const bar = byId("progress");
      byId("job-label").textContent = job.label;
      if (job.total) {
        bar.max = job.total;
        bar.value = job.done;
      } else {
        bar.removeAttribute("value"); // the first step may compile: nobody knows how far it is
      }
      byId("job-numbers").textContent = progressOf(job);
      byId("job-speed").textContent = speedOf(job);
    } else if (session) {
      byId("no-job").textContent = standing(session, timeline, prompted);
    }
  }

  #showPixel() {
    const pixel = this.state.cross ?? this.state.hover;
    byId("pixel").textContent = pixel ? `x ${pixel[0]}  y ${pixel[1]}` : "";
  }

  #showMessage() {
    const { message, connection, retry } = this.state;
    const line = byId("message");
    let { text, kind } = message;
    if (connection === "lost") {
      kind = "error";
      text = `The connection to the server is lost. Next try in ${retry} s. `
        + "What you see is what was known last.";
    } else if (connection === "connecting") {
      kind = "busy";
      text = "Connecting.";
    }
    line.textContent = text;
    line.title = text;
    line.dataset.kind = kind;
  }

  #showZoom() {
    byId("zoom-value").textContent = `${Math.round(this.view.scale * 100)} %`;
  }
}

function setAction(id, verb, key, what) {
  const button = byId(id);
  const text = what ? `${verb}: ${what}` : `Nothing to ${verb.toLowerCase()}`;
  button.disabled = !what;
  button.title = `${text} (${key})`;
  button.setAttribute("aria-label", text);
}

function standing(session, timeline, prompted) {
  const runs = Object.values(timeline?.objects ?? {});
  const stale = runs.reduce((sum, object) => sum + countFrames(object.stale), 0);
  if (stale) {
    return `${stale.toLocaleString("en")} mask${stale === 1 ? " is" : "s are"} out of date. `
      + "Track to renew them.";
  }
  if (!prompted) {
    return "Nothing to track yet.";
  }
  const open = session.objects.some(({ prompts, fresh }) => {
    return prompts.length > 0 && (!fresh || fresh[0] > 0 || fresh[1] < session.video.frames - 1);
  });
  return open ? "Not all frames are tracked yet." : "All frames are up to date.";
}

function progressOf({ done, total }) {
  if (!total) {
    return "Preparing. The first time the model is compiled.";
  }
  return `${done.toLocaleString("en")} of ${total.toLocaleString("en")} frames`;
}

function speedOf({ rate, eta }) {
  return rate === null ? "" : `${rate.toFixed(1)} frames/s · ${duration(eta)} left`;
}

function duration(seconds) {
  const whole = Math.ceil(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) {
    return `${minutes} min ${whole % 60} s`;
  }
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const hundredths = two(Math.floor((seconds - whole) * 100 + 1e-6));
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}.${hundredths}`;
  return hours ? `${hours}:${rest}` : rest;
}
