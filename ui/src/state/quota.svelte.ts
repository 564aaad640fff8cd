/** Under which plan labs are started here, what may be used and what is. */
import type { QuotaReport } from "../gen/api";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";

export const quota = { report: new Resource<QuotaReport>(() => session.call("get_quota", {})) };
