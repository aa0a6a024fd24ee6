// The stream of states. Each event holds all of the state, so a lost one costs nothing.

// The server beats every two seconds; a silence this long means that it is gone.
const SILENCE = 6000;
const RETRY = 1000;

/** Call `show` with each state, and `gone` once whenever the agent does not speak. */
export function listen(show, gone) {
  let source = null;
  let watch = 0;

  function silent() {
    source.close();
    gone();
    setTimeout(knock, RETRY);
  }

  // A restarted agent gives out a new cookie, and only with the page: load the page anew when it is there again.
  async function knock() {
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (answer.ok) return location.reload();
    } catch {
      // Not there yet.
    }
    setTimeout(knock, RETRY);
  }

  function hear(event) {
    clearTimeout(watch);
    watch = setTimeout(silent, SILENCE);
    show(JSON.parse(event.data));
  }

  source = new EventSource("/events");
  source.addEventListener("message", hear);
  source.addEventListener("error", () => {
    clearTimeout(watch);
    silent();
  });
}

/** POST `body` as JSON; the answer, or null when the agent cannot be reached. */
export async function post(path, body = {}) {
  try {
    return await fetch(path, {
      method: "POST",
      cache: "no-store",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    return null;
  }
}
