// The camera's picture, drawn while it is wanted and wiped when it is not. It is never kept.

const PAUSE = 50;

const pause = (signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, PAUSE);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

/** Draws pictures of `path` on `canvas` between `start` and `stop`; crops to the canvas's shape. */
export function preview(canvas, path) {
  const context = canvas.getContext("2d", { alpha: false, desynchronized: true });
  let running = null;

  async function draw(signal) {
    while (!signal.aborted) {
      try {
        const answer = await fetch(path, { signal, cache: "no-store" });
        if (answer.status === 200) {
          const picture = await createImageBitmap(await answer.blob());
          if (!signal.aborted) paint(picture);
          picture.close();
        }
      } catch {
        // Aborted, or a picture that does not decode: the next one comes at once.
      }
      await pause(signal);
    }
  }

  function paint(picture) {
    const scale = Math.max(canvas.width / picture.width, canvas.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    context.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    canvas.dataset.live = "";
  }

  return {
    start() {
      if (running) return;
      running = new AbortController();
      draw(running.signal);
    },
    stop() {
      if (!running) return;
      running.abort();
      running = null;
      delete canvas.dataset.live;
      context.fillStyle = "#e6e9ee";
      context.fillRect(0, 0, canvas.width, canvas.height);
    },
  };
}
