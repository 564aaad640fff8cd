/** One answer per command of the contract. */
import type { Commands } from "../../../gen/commands";
import type { CommandName } from "../../host";

export type Handlers = { [C in CommandName]: (request: Commands[C]["request"]) => Commands[C]["response"] | Promise<Commands[C]["response"]> };
