/** Synthetic skies with up to four flying things, drawn by formulas; where each of them is, is known. */
import { blend, vary, type Colour, type Frame, type Shader } from './canvas.ts';
import { cloudNoise, smoothStep } from './noise.ts';
import type { Random } from './random.ts';

/** In the order of the model's output. */
export const SCENE_LABELS = ['balloon', 'kite', 'aeroplane'] as const;

export const SCENE_FRAME: Frame = { width: 640, height: 480 };

export interface Thing {
  /** Index into SCENE_LABELS. */
  readonly label: number;
  /** Centre and size, relative to the picture. */
  readonly box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
}

export interface Scene {
  readonly shader: Shader;
  readonly things: readonly Thing[];
}

/** Whether a point of the thing's own square (-1 to 1 both ways) is covered, and by what. */
type Drawing = (u: number, v: number, out: Float64Array) => void;

export function scene(random: Random): Scene {
  const sky = drawSky(random);
  const things: Thing[] = [];
  const drawings: { readonly thing: Thing; readonly draw: Drawing }[] = [];
  const wanted = random.whole(1, 4);
  for (let attempt = 0; things.length < wanted && attempt < 60; attempt++) {
    const thing = place(random);
    if (things.some((other) => near(thing, other))) continue;
    things.push(thing);
    drawings.push({ thing, draw: (DRAWINGS[thing.label] ?? drawBalloon)(random) });
  }
  const shader: Shader = (x, y, out) => {
    sky(x, y, out);
    for (const { thing, draw } of drawings) {
      const u = (x / SCENE_FRAME.width - thing.box.x) / (thing.box.width / 2);
      const v = (y / SCENE_FRAME.height - thing.box.y) / (thing.box.height / 2);
      if (Math.abs(u) <= 1 && Math.abs(v) <= 1) draw(u, v, out);
    }
  };
  return { shader, things };
}

/** Width and height in pixels of the full picture; each kind has its own proportions. */
const PROPORTIONS: readonly (readonly [number, number])[] = [
  [0.78, 1],
  [0.8, 0.9],
  [1.25, 0.62],
];

function place(random: Random): Thing {
  const label = random.whole(0, SCENE_LABELS.length - 1);
  const [wide, high] = PROPORTIONS[label] ?? [1, 1];
  const size = random.between(120, 210);
  const width = (size * wide * random.between(0.9, 1.1)) / SCENE_FRAME.width;
  const height = (size * high * random.between(0.9, 1.1)) / SCENE_FRAME.height;
  const x = random.between(width / 2 + 0.01, 0.99 - width / 2);
  const y = random.between(height / 2 + 0.01, 0.99 - height / 2);
  return { label, box: { x, y, width, height } };
}

function near(a: Thing, b: Thing): boolean {
  const gap = 0.02;
  return (
    Math.abs(a.box.x - b.box.x) < (a.box.width + b.box.width) / 2 + gap &&
    Math.abs(a.box.y - b.box.y) < (a.box.height + b.box.height) / 2 + gap
  );
}

function drawSky(random: Random): Shader {
  const high = vary([96, 146, 206], 14, random.normal);
  const low = vary([190, 212, 230], 10, random.normal);
  const seed = random.whole(1, 1e6);
  const [from, to] = [random.between(0.4, 0.6), random.between(0.65, 0.9)];
  return (x, y, out) => {
    out.set(high);
    blend(out, low, y / SCENE_FRAME.height);
    blend(out, [248, 248, 250], 0.85 * smoothStep(from, to, cloudNoise(x / 130, y / 80, seed)));
  };
}

type Hue = readonly [Colour, ...Colour[]];
const BRIGHT: Hue = [
  [206, 52, 48],
  [230, 168, 36],
  [44, 128, 74],
  [128, 52, 140],
  [34, 66, 150],
];

/** A sphere in stripes over a small basket. */
function drawBalloon(random: Random): Drawing {
  const [one, two] = [vary(random.pick(BRIGHT), 10, random.normal), vary([240, 232, 214], 8, random.normal)];
  return (u, v, out) => {
    const w = (v + 0.22) / 0.78;
    const far = Math.sqrt(u * u + w * w);
    if (far < 1) blend(out, Math.floor((u / Math.sqrt(Math.max(0.05, 1 - w * w)) + 1) * 2.5) % 2 === 0 ? one : two, 1);
    else if (Math.abs(u) < 0.16 && v > 0.74) blend(out, [92, 64, 44], 1);
    else if (v > 0.4 && v < 0.74 && Math.abs(Math.abs(u) - 0.16 - (0.74 - v) * 0.4) < 0.03) blend(out, [70, 60, 50], 1);
  };
}

/** A rhombus of two colours. */
function drawKite(random: Random): Drawing {
  const left = vary(random.pick(BRIGHT), 10, random.normal);
  const right = vary(random.pick(BRIGHT), 10, random.normal);
  const cross = random.between(-0.35, -0.15);
  return (u, v, out) => {
    const half = v < cross ? (v + 1) / (cross + 1) : (1 - v) / (1 - cross);
    if (Math.abs(u) > half) return;
    blend(out, u < 0 ? left : right, 1);
    if (Math.abs(u) < 0.04 || Math.abs(v - cross) < 0.04) blend(out, [60, 44, 36], 1);
  };
}

/** Seen from the side: body, wing and tail. */
function drawAeroplane(random: Random): Drawing {
  const body = vary([224, 226, 230], 8, random.normal);
  const paint = vary(random.pick(BRIGHT), 10, random.normal);
  const wing = vary([112, 120, 132], 8, random.normal);
  const turn = random.unit() < 0.5 ? -1 : 1;
  return (u, v, out) => {
    const x = u * turn;
    if ((x / 1) ** 2 + ((v - 0.1) / 0.26) ** 2 < 1) {
      blend(out, v > 0.16 ? paint : body, 1);
      if (v > -0.02 && v < 0.06 && x > -0.55 && x < 0.75 && Math.floor(x * 14) % 2 === 0) blend(out, [40, 54, 76], 1);
    }
    if (x < -0.58 && x > -1 && v < 0.1 && v > -1 + (x + 1) * 2) blend(out, paint, 1);
    if (Math.abs(x + 0.5 * (v - 0.15)) < 0.2 && v > 0.12) blend(out, wing, 1);
  };
}

const DRAWINGS: readonly ((random: Random) => Drawing)[] = [drawBalloon, drawKite, drawAeroplane];
