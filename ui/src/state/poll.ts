/** Asks again and again: at its pace while answers come, less and less often while they do not, not at all while nobody looks. */
export interface Pace {
  every: number;
  longest: number;
}

/** Milliseconds until the next question after so many failures in a row. */
export function pause({ every, longest }: Pace, failures: number): number {
  return Math.min(longest, every * 2 ** Math.min(failures, 16));
}

/** `work` resolves to whether it was answered. Returns the way to stop; a question under way is not waited for. */
export function poll(work: () => Promise<boolean>, pace: Pace, hidden = () => document.hidden): () => void {
  let failures = 0;
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const turn = async () => {
    if (!hidden()) {
      const answered = await work();
      failures = answered ? 0 : failures + 1;
    }
    if (!stopped) timer = setTimeout(() => void turn(), pause(pace, failures));
  };
  void turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
