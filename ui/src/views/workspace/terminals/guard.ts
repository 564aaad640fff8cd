/**
 * Sequences whose parameter is a number of repetitions are carried out one by one in xterm.js: `CSI 2147483647 b` after a letter, or
 * `CSI 99999999 L`, stands the window still for minutes. No program needs more than a screen of them, so larger ones are dropped.
 */
import type { IParser } from "@xterm/xterm";

const MOST = 10_000;
/** ICH, CHT, IL, DL, DCH, SU, SD, ECH, CBT, REP. */
const REPEATED = ["@", "I", "L", "M", "P", "S", "T", "X", "Z", "b"];

export function bounded(parser: IParser): void {
  for (const final of REPEATED) {
    // True means: dealt with, xterm's own handler is not asked.
    parser.registerCsiHandler({ final }, ([times]) => typeof times === "number" && times > MOST);
  }
}
