// Talks to the server: requests with the token, and the stream of events with its reconnects.

const SILENCE = 25_000; // milliseconds; the server says something at least every 10 s

export class ServerError extends Error {
  constructor(message, status, body = {}) {
    super(message);
    this.status = status; // 0: no answer at all
    this.body = body;
  }
}

export class Api {
  constructor(token) {
    this.token = token;
  }

  async #fetch(path, options = {}) {
    const headers = { "X-Surgjax-Token": this.token, ...options.headers };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") {
        throw error;
      }
      throw new ServerError("The server does not answer.", 0);
    }
    if (!answer.ok) {
      const body = await answer.json().catch(() => ({}));
      const sentence = body.error ?? `The server answered ${answer.status}.`;
      throw new ServerError(sentence, answer.status, body);
    }
    return answer;
  }

  async #post(path, body = {}) {
    const headers = { "Content-Type": "application/json" };
    const options = { method: "POST", headers, body: JSON.stringify(body) };
    return (await this.#fetch(path, options)).json();
  }

  async timeline() {
    return (await this.#fetch("/api/timeline")).json();
  }

  async frame(index) {
    const answer = await this.#fetch(`/api/frames/${index}.jpg?q=92`);
    return createImageBitmap(await answer.blob());
  }

  async masks(index) {
    const answer = await this.#fetch(`/api/masks/${index}`);
    return {
      labels: new Uint8Array(await answer.arrayBuffer()),
      objects: JSON.parse(answer.headers.get("X-Surgjax-Objects") ?? "{}"),
      revision: Number(answer.headers.get("X-Surgjax-Revision")),
    };
  }

  edit(op, values) {
    return this.#post("/api/edit", { op, ...values });
  }

  look(frame) {
    return this.#post("/api/look", { frame });
  }

  track(direction, frames) {
    return this.#post("/api/track", { direction, frames });
  }

  cancel() {
    return this.#post("/api/cancel");
  }

  export(formats, name, allowStale) {
    return this.#post("/api/export", { formats, name, allow_stale: allowStale });
  }

  /**
   * Follows the events for ever. `handlers.event` gets each one, `handlers.open`, `handlers.lost`
   * (with the seconds until the next try) and `handlers.denied` say how the connection is.
   */
  async follow(handlers) {
    for (let wait = 1; ; wait = Math.min(wait + 1, 10)) {
      try {
        await this.#readEvents((event) => {
          wait = 0; // it worked: the next time starts with one second again
          handlers.event(event);
        }, handlers.open);
      } catch (error) {
        if (error.status === 403) {
          handlers.denied();
          return;
        }
      }
      const seconds = Math.max(wait, 1);
      handlers.lost(seconds);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }

  async #readEvents(onEvent, onOpen) {
    const abort = new AbortController();
    let watchdog = setTimeout(() => abort.abort(), SILENCE);
    try {
      const answer = await this.#fetch("/api/events", { signal: abort.signal });
      onOpen();
      const reader = answer.body.getReader();
      const decoder = new TextDecoder();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          return;
        }
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE);
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          if (line.trim()) {
            onEvent(JSON.parse(line));
          }
        }
      }
    } finally {
      clearTimeout(watchdog);
    }
  }
}
