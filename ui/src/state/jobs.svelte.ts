/** Images and the long jobs that prepare them. */
import type { ImageInfo, JobInfo } from "../gen/api";
import { events } from "./events.svelte";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";
import { attempt } from "./toasts.svelte";

class Jobs {
  readonly images = new Resource<ImageInfo[]>(() => session.call("list_images", {}));
  /** Proofs of isolation are told where their lab is. */
  readonly list = new Resource<JobInfo[]>(async () => (await session.call("list_jobs", {})).filter((j) => j.kind !== "isolation"));
  #timer: ReturnType<typeof setTimeout> | undefined;

  get running(): JobInfo[] {
    return (this.list.value ?? []).filter((j) => !j.done);
  }

  get ready(): number {
    return (this.images.value ?? []).filter((i) => i.ready).length;
  }

  /** All that are not ready when `images` is empty. */
  async prepare(images: string[] = []): Promise<void> {
    await attempt(() => session.call("prepare_images", { images }));
    await this.list.load();
  }

  async cancel(job: string): Promise<void> {
    await attempt(() => session.call("cancel_job", { job }));
    await this.list.load();
  }

  follow(): void {
    // A build reports many lines a second; reading four times a second is enough for the eye.
    events.on("job.step", () => {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        void this.list.load();
      }, 250);
    });
    events.on("job.done", () => {
      void this.list.load();
      void this.images.load();
    });
  }
}

export const jobs = new Jobs();
