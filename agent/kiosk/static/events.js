// The stream of states. Each event holds all of the state, so a lost one costs nothing.

// The server beats every two seconds; a silence this long means that it is gone.
const SILENCE = 6000;
const RETRY = 1000;

/** Call `show` with each state, and `gone` once whenever the agent does not speak. */
export function listen(show, gone) {
  let watch = 0;

  function connect() {
    const source = new EventSource("/events");
    const lose = () => {
      clearTimeout(watch);
      source.close();
      gone();
      setTimeout(knock, RETRY);
    };
    source.addEventListener("message", (event) => {
      clearTimeout(watch);
      watch = setTimeout(lose, SILENCE);
      show(JSON.parse(event.data));
    });
    source.addEventListener("error", lose);
  }

  // A restarted agent gives out a new cookie, and only with the page. The page itself stays: a reload that meets an
  // agent which is just going would end on an error of the browser's, for good.
  async function knock() {
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (answer.ok) return connect();
    } catch {
      // Not there yet.
    }
    setTimeout(knock, RETRY);
  }

  connect();
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
