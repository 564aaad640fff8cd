/** What a test lays down before the page's own scripts run, and reads afterwards. */
export interface Planted {
  texts: string[];
  guide: string;
  /** Where each lab has a guide of its own, by its title. */
  guides?: Record<string, string>;
  /** The labs made of the texts, with a run and a result of each. */
  labs?: () => { lab: string; run: string | null; result: string | null }[];
  /** Terminal output, as bytes in Latin-1 letters. */
  output: string;
  calls: { name: string; request: unknown }[];
  typed: string[];
}

export const planted = (): Planted | undefined => (globalThis as { forgeFake?: Planted }).forgeFake;
