/** One xterm on one terminal of the engine: sizes, bytes both ways, and coming back with the scrollback it had. */
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebglAddon } from "@xterm/addon-webgl";
import { Terminal } from "@xterm/xterm";
import type { TerminalStream } from "../../../ipc/host";
import { HostError } from "../../../ipc/host";
import { session } from "../../../state/session.svelte";
import { attempt, toasts } from "../../../state/toasts.svelte";
import { WORDS } from "../../../words/workspace";
import { documentForXterm, openUnderCsp } from "./csp";
import { bounded } from "./guard";
import type { Screen, Tab } from "./tabs.svelte";
import { hasGpu, terminalTheme } from "./theme";

const SCROLLBACK = 10_000;
const RESIZE_MS = 80;
const encoder = new TextEncoder();
let gpu: boolean | null = null;

export interface ScreenOptions {
  run: string;
  tab: Tab;
  dark: boolean;
  fontSize: number;
  /** Keys that are the window's and not the shell's; true when it took the key. */
  key: (event: KeyboardEvent) => boolean;
  search: () => void;
  /** Whether somebody looks at it now. */
  visible: () => boolean;
}

export class XtermScreen implements Screen {
  readonly term: Terminal;
  readonly finder = new SearchAddon();
  readonly #fit = new FitAddon();
  readonly #options: ScreenOptions;
  readonly #observer: ResizeObserver;
  #webgl: WebglAddon | null = null;
  #stream: TerminalStream | null = null;
  #resize: ReturnType<typeof setTimeout> | undefined;
  /** Output up to here was there before this page; xterm's answers to it were given long ago. */
  #replayUntil = 0;
  #drawn = 0;
  #gone = false;

  constructor(host: HTMLElement, options: ScreenOptions) {
    this.#options = options;
    this.term = new Terminal({
      allowProposedApi: true,
      cursorBlink: true,
      documentOverride: documentForXterm(),
      fontFamily: getComputedStyle(host).getPropertyValue("--mono"),
      fontSize: options.fontSize,
      lineHeight: 1.15,
      // Bytes that are no terminal language are the node's affair, not the console's.
      logLevel: "off",
      // What a node prints is not ours to follow: a link is shown, and that is all. Without this xterm would ask and open it.
      linkHandler: { activate: () => toasts.show("warn", WORDS.terminal.link, WORDS.terminal.linkText), allowNonHttpProtocols: false },
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK,
      smoothScrollDuration: 0,
      theme: terminalTheme(options.dark),
    });
    this.term.loadAddon(this.#fit);
    this.term.loadAddon(this.finder);
    this.term.loadAddon(new Unicode11Addon());
    this.term.unicode.activeVersion = "11";
    bounded(this.term.parser);
    this.term.attachCustomKeyEventHandler((event) => this.#key(event));
    this.term.onData((data) => this.#send(encoder.encode(data)));
    this.term.onBinary((data) => this.#send(Uint8Array.from(data, (c) => c.charCodeAt(0))));
    this.term.onResize(({ cols, rows }) => this.#resized(cols, rows));
    openUnderCsp(this.term, host);
    this.term.textarea?.setAttribute("aria-label", WORDS.terminal.input(options.tab.title));
    // A shell takes the Tab key, so Tab must not walk into it: one enters by its tab (Enter) or by Ctrl and its number.
    if (this.term.textarea) this.term.textarea.tabIndex = -1;
    this.fit();
    this.#observer = new ResizeObserver(() => this.fit());
    this.#observer.observe(host);
  }

  /** Opens the shell (or takes up the one that is there) and follows it. */
  async connect(): Promise<void> {
    const { tab, run } = this.#options;
    if (!tab.info) {
      try {
        tab.info = await session.call("open_terminal", { run, node: tab.node, cols: this.term.cols, rows: this.term.rows });
      } catch (error) {
        tab.status = "failed";
        tab.why = HostError.from(error).message;
        return;
      }
    } else {
      this.#replayUntil = tab.info.next;
      this.#resized(this.term.cols, this.term.rows);
    }
    if (this.#gone) return;
    this.#stream = session.host.terminal(tab.info.id, 0, {
      output: (bytes, offset) => this.#draw(bytes, offset),
      gap: (resumesAt) => this.#line(WORDS.terminal.gap(resumesAt)),
      closed: (reason) => {
        tab.status = "closed";
        tab.why = reason;
        this.#line(WORDS.terminal.closed(reason));
        this.term.options.cursorBlink = false;
      },
      state: (state, why) => {
        if (tab.status === "closed") return;
        tab.status = state === "live" ? "live" : state === "closed" ? "closed" : state === "connecting" ? "opening" : "reconnecting";
        tab.why = why ?? "";
      },
    });
  }

  fit(): void {
    const size = this.#fit.proposeDimensions();
    if (!size || !Number.isFinite(size.cols) || size.cols < 2 || size.rows < 1) return;
    if (size.cols !== this.term.cols || size.rows !== this.term.rows) this.term.resize(size.cols, size.rows);
  }

  /** A hidden terminal keeps no WebGL context: browsers have few of them. */
  shown(visible: boolean): void {
    if (!visible) {
      this.#webgl?.dispose();
      this.#webgl = null;
      return;
    }
    this.fit();
    gpu ??= hasGpu();
    if (!gpu || this.#webgl) return;
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => {
        webgl.dispose();
        this.#webgl = null;
      });
      this.term.loadAddon(webgl);
      this.#webgl = webgl;
    } catch {
      // The DOM renderer is in place already and draws the same.
      this.#webgl = null;
    }
  }

  look(dark: boolean, fontSize: number): void {
    this.term.options.theme = terminalTheme(dark);
    if (this.term.options.fontSize !== fontSize) {
      this.term.options.fontSize = fontSize;
      this.fit();
    }
  }

  focus(): void {
    this.term.focus();
  }

  blur(): void {
    this.term.blur();
  }

  type(text: string): void {
    // A text with an escape in it could end the bracketed paste and go on as keys.
    this.term.paste(text.replace(/[^\P{Cc}\n\t]/gu, ""));
    this.term.focus();
  }

  search(): void {
    this.#options.search();
  }

  async copy(): Promise<void> {
    const text = this.term.getSelection();
    if (text !== "") await attempt(() => navigator.clipboard.writeText(text));
  }

  dispose(): void {
    this.#gone = true;
    clearTimeout(this.#resize);
    this.#observer.disconnect();
    this.#stream?.close();
    this.term.dispose();
  }

  #draw(bytes: Uint8Array, offset: number): Promise<void> {
    const { tab, visible } = this.#options;
    if (!visible() && offset >= this.#replayUntil) tab.unseen = true;
    return new Promise((done) => {
      this.term.write(bytes, () => {
        this.#drawn = offset + bytes.length;
        done();
      });
    });
  }

  #send(bytes: Uint8Array): void {
    if (this.#drawn < this.#replayUntil || this.#options.tab.status === "closed") return;
    if (this.#stream && !this.#stream.write(bytes)) {
      this.#options.tab.status = "reconnecting";
      this.#options.tab.why = WORDS.terminal.notSent;
    }
  }

  #key(event: KeyboardEvent): boolean {
    if (event.type !== "keydown") return true;
    if (event.ctrlKey && event.shiftKey && event.code === "KeyC") {
      event.preventDefault();
      void this.copy();
      return false;
    }
    // The browser's own paste follows, and xterm takes its event; no clipboard permission is needed.
    if (event.ctrlKey && event.shiftKey && event.code === "KeyV") return false;
    return !this.#options.key(event);
  }

  #line(text: string): void {
    const fresh = this.term.buffer.active.cursorX > 0 ? "\r\n" : "";
    this.term.write(`${fresh}\x1b[0;90m── ${text.replace(/[^\P{Cc}]/gu, " ")} ──\x1b[0m\r\n`);
  }

  #resized(cols: number, rows: number): void {
    clearTimeout(this.#resize);
    this.#resize = setTimeout(() => {
      const { tab } = this.#options;
      const id = tab.info?.id;
      if (id === undefined || tab.status === "closed" || tab.status === "failed") return;
      session.call("resize_terminal", { id, cols, rows }).catch((error: unknown) => {
        if (tab.status === "live") tab.why = HostError.from(error).message;
      });
    }, RESIZE_MS);
  }
}
