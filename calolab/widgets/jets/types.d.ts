// Types of JetComparison, for `make javascript`; not sent to the browser.

import type { Label, Role, Space } from "../shared/types";

/** pt [GeV], eta, phi, mass [GeV] */
export type Jet = [number, number, number, number];

export interface Contents {
  contents: number[];
  errors: number[];
  /** Fractions below the first and above the last edge. */
  beyond: [number, number];
}

/** `histograms.histogram` */
export interface Variable {
  name: string;
  label: string;
  unit: string;
  /** What the bins are fractions of. */
  per: string;
  edges: number[];
  reference: Contents;
  generated?: Contents;
  alone?: Contents;
  ks?: number;
  floor?: number;
}

export type Names = Record<Role | "alone", string>;

export interface Choice {
  sample: string;
  mass_point: string;
  signal: string;
  pileup: string;
  mu: number;
}

/** The first events of a choice. */
export interface Scene {
  choice: Choice;
  /** Number of images that have been sent, of those that can be displayed, and of all events. */
  events: number;
  images: number;
  of: number;
  names: Role[];
  jets: Jet[][][];
  labels: Label[][];
  colours: { high: number; decades: number };
}

export interface Traits extends Choice {
  event: number;
  log: boolean;
  about: {
    space: Space;
    generated: string[];
    points: Record<string, string[]>;
    pileup: string[];
    mus: number[];
    names: Names;
    radius: number;
  };
  scene: Scene;
  pictures: DataView<ArrayBuffer>;
  distributions: {
    choice: Choice;
    events: Partial<Record<Role | "alone", number>>;
    of: Partial<Record<Role | "alone", number>>;
    variables: Variable[];
  };
  message: string;
}
