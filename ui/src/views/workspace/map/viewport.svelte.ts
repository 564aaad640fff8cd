/** What part of the map is seen: the whole of it, fitted and following its pane, until it is zoomed or dragged. */
import type { Point } from "../../../parts/topology/layout";

export interface View extends Point {
  /** Scale. */
  k: number;
}

const RANGE = [0.3, 4] as const;
/** Pixels of travel before a press is a drag and no click. */
const SLACK = 4;

export class Viewport {
  /** Of the pane, in pixels. */
  width = $state(0);
  height = $state(0);
  readonly #drawing: () => { width: number; height: number };
  #moved = $state.raw<View | null>(null);
  #drag: { id: number; x: number; y: number; from: View; far: boolean } | null = null;
  #dragged = false;

  constructor(drawing: () => { width: number; height: number }) {
    this.#drawing = drawing;
  }

  get moved(): boolean {
    return this.#moved !== null;
  }

  get view(): View {
    if (this.#moved) return this.#moved;
    const { width, height } = this.#drawing();
    const k = Math.min(1, this.width / width, this.height / height);
    return { k, x: (this.width - width * k) / 2, y: (this.height - height * k) / 2 };
  }

  /** Where a point of the drawing is in the pane. */
  place(p: Point): Point {
    const { k, x, y } = this.view;
    return { x: x + p.x * k, y: y + p.y * k };
  }

  fit(): void {
    this.#moved = null;
  }

  zoom(factor: number, at: Point = { x: this.width / 2, y: this.height / 2 }): void {
    const { view } = this;
    const k = Math.min(RANGE[1], Math.max(RANGE[0], view.k * factor));
    this.#moved = { k, x: at.x - ((at.x - view.x) / view.k) * k, y: at.y - ((at.y - view.y) / view.k) * k };
  }

  readonly wheel = (e: WheelEvent & { currentTarget: Element }): void => {
    e.preventDefault();
    const box = e.currentTarget.getBoundingClientRect();
    this.zoom(Math.exp(-e.deltaY * 0.0015), { x: e.clientX - box.left, y: e.clientY - box.top });
  };

  readonly press = (e: PointerEvent): void => {
    if (e.button === 0) this.#drag = { id: e.pointerId, x: e.clientX, y: e.clientY, from: this.view, far: false };
  };

  readonly move = (e: PointerEvent & { currentTarget: Element }): void => {
    const drag = this.#drag;
    if (!drag || drag.id !== e.pointerId) return;
    const [dx, dy] = [e.clientX - drag.x, e.clientY - drag.y];
    if (!drag.far && Math.hypot(dx, dy) < SLACK) return;
    if (!drag.far) e.currentTarget.setPointerCapture(e.pointerId);
    drag.far = true;
    this.#moved = { k: drag.from.k, x: drag.from.x + dx, y: drag.from.y + dy };
  };

  readonly release = (): void => {
    this.#dragged = this.#drag?.far ?? false;
    this.#drag = null;
  };

  /** Whether a click opens something: the one that ends a drag does not. */
  clicked(): boolean {
    const ends = this.#dragged;
    this.#dragged = false;
    return !ends;
  }
}
