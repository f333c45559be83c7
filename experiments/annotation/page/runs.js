// Runs of frames: inclusive pairs [first, last], sorted. Long videos are thought of in these.

export function countFrames(runs) {
  return runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** "0–12, 40 and 7 more". */
export function describeRuns(runs, most = 4) {
  const parts = runs.slice(0, most).map(([first, last]) => {
    return first === last ? `${first}` : `${first}–${last}`;
  });
  const more = runs.length - parts.length;
  return parts.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Where runs with a warning begin, over all objects. */
export function warningStarts(timeline) {
  const starts = new Set();
  for (const { stale, low } of Object.values(timeline?.objects ?? {})) {
    for (const [first] of [...stale, ...low]) {
      starts.add(first);
    }
  }
  return [...starts].sort((a, b) => a - b);
}

export function promptedFrames(session) {
  const frames = session.objects.flatMap((object) => object.prompts.map((prompt) => prompt.frame));
  return [...new Set(frames)].sort((a, b) => a - b);
}

/** The nearest of sorted frames before (-1) or after (1) a frame, or undefined. */
export function neighbour(sorted, frame, direction) {
  return direction > 0
    ? sorted.find((each) => each > frame)
    : sorted.findLast((each) => each < frame);
}
