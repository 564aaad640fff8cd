// The journey once more, with the scoreboard on PostgreSQL.
import { after } from "node:test";
import { postgres } from "../lib/postgres.mjs";

const cluster = await postgres();
process.env.FORGE_BOARD_DATABASE = cluster.url;
process.env.FORGE_BOARD_JOURNEY_ONLY = "1";
await import("./sync.test.mjs");
after(() => cluster.stop());
