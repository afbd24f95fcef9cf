/**
 * Synthetic pictures in the manner of dermatoscopy. They are drawn by formulas, from no real picture, and have no medical
 * meaning whatever: the classes only borrow the names of the seven categories of the HAM10000 collection.
 */
import { blend, darken, vary, type Colour, type Frame, type Shader } from './canvas.ts';
import { cloudNoise, smoothStep, valueNoise } from './noise.ts';
import type { Random } from './random.ts';

/** In the order of the model's output. */
export const LESION_LABELS = [
  'actinic keratosis',
  'basal cell carcinoma',
  'benign keratosis',
  'dermatofibroma',
  'melanoma',
  'melanocytic nevus',
  'vascular lesion',
] as const;
export type LesionLabel = (typeof LESION_LABELS)[number];

/** The shape of the pictures in that collection. */
export const LESION_FRAME: Frame = { width: 600, height: 450 };

/** Where a point lies in the lesion: `depth` is 1 in the middle, 0 at the border and negative outside. */
interface Place {
  readonly x: number;
  readonly y: number;
  readonly depth: number;
}
/** Paints the lesion's own colours over `out`; the border is taken care of. */
type Surface = (place: Place, out: Float64Array) => void;

interface Appearance {
  /** Mean radius in pixels. */
  readonly radius: number;
  /** How far the outline departs from an ellipse. */
  readonly irregularity: number;
  /** Width of the border, as a part of the radius. */
  readonly softness: number;
  readonly surface: Surface;
}

const APPEARANCES: Readonly<Record<LesionLabel, (random: Random) => Appearance>> = {
  'actinic keratosis': scalyPatch,
  'basal cell carcinoma': pearlWithVessels,
  'benign keratosis': waxyWithCysts,
  dermatofibroma: scarWithRing,
  melanoma: patchwork,
  'melanocytic nevus': evenSpot,
  'vascular lesion': redLagoons,
};

/** A new picture of the class. */
export function lesion(label: LesionLabel, random: Random): Shader {
  const skin = drawSkin(random);
  const { radius, irregularity, softness, surface } = APPEARANCES[label](random);
  const outline = drawOutline(random, radius, irregularity);
  const finish = drawFinish(random);
  const patch = new Float64Array(3);
  return (x, y, out) => {
    skin(x, y, out);
    const depth = outline(x, y);
    const cover = smoothStep(-softness, softness, depth);
    if (cover > 0) {
      patch.set(out);
      surface({ x, y, depth }, patch);
      for (let c = 0; c < 3; c++) out[c] = (out[c] ?? 0) * (1 - cover) + (patch[c] ?? 0) * cover;
    }
    finish(x, y, out);
  };
}

// --- skin, outline, finish ---------------------------------------------------------------------------------------------

function drawSkin(random: Random): Shader {
  const tone = vary(
    random.pick([
      [226, 186, 168],
      [214, 170, 148],
      [200, 152, 128],
      [232, 198, 186],
    ]),
    7,
    random.normal,
  );
  const seed = random.whole(1, 1e6);
  const grain = random.between(4, 10);
  return (x, y, out) => {
    const wide = (cloudNoise(x / 90, y / 90, seed) - 0.5) * 26;
    const fine = (valueNoise(x / 3, y / 3, seed + 9) - 0.5) * grain;
    for (let c = 0; c < 3; c++) out[c] = (tone[c] ?? 0) + wide + fine;
  };
}

/** An ellipse with waves along its border. */
function drawOutline(random: Random, radius: number, irregularity: number): (x: number, y: number) => number {
  const centreX = LESION_FRAME.width / 2 + random.between(-70, 70);
  const centreY = LESION_FRAME.height / 2 + random.between(-45, 45);
  const stretch = random.between(0.82, 1.22);
  const tilt = random.between(0, Math.PI);
  const [cos, sin] = [Math.cos(tilt), Math.sin(tilt)];
  const reach = new Float64Array(512).fill(1);
  for (let wave = 2; wave <= 7; wave++) {
    const height = (irregularity * random.normal()) / Math.sqrt(wave);
    const phase = random.between(0, 2 * Math.PI);
    for (let i = 0; i < reach.length; i++) {
      reach[i] = (reach[i] ?? 1) + height * Math.cos((wave * i * 2 * Math.PI) / reach.length + phase);
    }
  }
  return (x, y) => {
    const dx = x - centreX;
    const dy = y - centreY;
    const u = (dx * cos + dy * sin) * stretch;
    const v = (dy * cos - dx * sin) / stretch;
    const turn = Math.atan2(v, u) / (2 * Math.PI) + 0.5;
    const border = radius * Math.max(0.35, reach[Math.floor(turn * reach.length) % reach.length] ?? 1);
    return 1 - Math.sqrt(u * u + v * v) / border;
  };
}

/** What the instrument adds: hairs, uneven light, grain. */
function drawFinish(random: Random): Shader {
  const hairs = Array.from({ length: random.unit() < 0.45 ? random.whole(1, 7) : 0 }, () => drawHair(random));
  const vignette = random.between(0.05, 0.35);
  const light = random.between(0.9, 1.1);
  const seed = random.whole(1, 1e6);
  const { width, height } = LESION_FRAME;
  return (x, y, out) => {
    for (const hair of hairs) hair(x, y, out);
    const fromCentre = ((x - width / 2) / width) ** 2 + ((y - height / 2) / height) ** 2;
    darken(out, light * (1 - vignette * fromCentre * 1.6));
    const grain = (valueNoise(x * 0.9, y * 0.9, seed) - 0.5) * 8;
    for (let c = 0; c < 3; c++) out[c] = (out[c] ?? 0) + grain;
  };
}

function drawHair(random: Random): Shader {
  const angle = random.between(0, Math.PI);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const offset = random.between(-220, 220);
  const bend = random.between(-0.0012, 0.0012);
  const width = random.between(1.2, 2.6);
  const colour = vary([58, 42, 34], 10, random.normal);
  return (x, y, out) => {
    const along = (x - 300) * cos + (y - 225) * sin;
    const across = (y - 225) * cos - (x - 300) * sin - offset - bend * along * along;
    if (Math.abs(across) < 2 * width) blend(out, colour, 0.8 * smoothStep(2 * width, 0, Math.abs(across)));
  };
}

// --- the seven classes -------------------------------------------------------------------------------------------------

/** A reddish patch with a blurred border, under pale scales. */
function scalyPatch(random: Random): Appearance {
  const ground = vary([196, 116, 100], 9, random.normal);
  const scale = vary([238, 224, 206], 6, random.normal);
  const seed = random.whole(1, 1e6);
  const size = random.between(15, 24);
  return {
    radius: random.between(95, 150),
    irregularity: random.between(0.08, 0.16),
    softness: random.between(0.2, 0.34),
    surface({ x, y }, out) {
      blend(out, ground, 0.85);
      const flakes = cloudNoise(x / size, y / size, seed);
      blend(out, scale, 0.9 * smoothStep(0.52, 0.68, flakes));
    },
  };
}

/** A pearly swelling with red vessels that branch over it. */
function pearlWithVessels(random: Random): Appearance {
  const pearl = vary([222, 168, 160], 7, random.normal);
  const red = vary([172, 44, 48], 9, random.normal);
  const nest = vary([120, 112, 128], 9, random.normal);
  const seed = random.whole(1, 1e6);
  const size = random.between(42, 60);
  return {
    radius: random.between(95, 145),
    irregularity: random.between(0.05, 0.12),
    softness: random.between(0.14, 0.26),
    surface({ x, y, depth }, out) {
      blend(out, pearl, 0.85);
      blend(out, [244, 224, 218], 0.5 * smoothStep(0.35, 0.9, depth));
      blend(out, nest, 0.65 * smoothStep(0.7, 0.8, valueNoise(x / 38, y / 38, seed + 5)));
      // Lines where two fields of noise cross their middle.
      const line = Math.abs(cloudNoise(x / size, y / size, seed) - 0.5);
      const twig = Math.abs(valueNoise(x / (size * 0.6), y / (size * 0.6), seed + 3) - 0.5);
      blend(out, red, 0.95 * Math.max(smoothStep(0.035, 0.01, line), smoothStep(0.03, 0.008, twig)));
    },
  };
}

/** A tan, sharply bordered plaque, strewn with pale and dark dots. */
function waxyWithCysts(random: Random): Appearance {
  const wax = vary([168, 132, 92], 9, random.normal);
  const dots = Array.from({ length: random.whole(34, 60) }, () => ({
    x: 300 + random.normal() * 80,
    y: 225 + random.normal() * 70,
    size: random.between(4, 9),
    colour: random.unit() < 0.65 ? ([242, 226, 188] as Colour) : ([78, 54, 36] as Colour),
  }));
  return {
    radius: random.between(100, 155),
    irregularity: random.between(0.06, 0.12),
    softness: random.between(0.02, 0.05),
    surface({ x, y }, out) {
      blend(out, wax, 0.94);
      for (const dot of dots) {
        const dx = x - dot.x;
        const dy = y - dot.y;
        const far = dx * dx + dy * dy;
        if (far < dot.size * dot.size * 1.5)
          blend(out, dot.colour, 0.9 * smoothStep(1.2, 0.7, Math.sqrt(far) / dot.size));
      }
    },
  };
}

/** A pale scar in a brown ring. */
function scarWithRing(random: Random): Appearance {
  const ring = vary([150, 104, 78], 9, random.normal);
  const scar = vary([236, 214, 204], 6, random.normal);
  const inner = random.between(0.38, 0.52);
  const seed = random.whole(1, 1e6);
  return {
    radius: random.between(85, 140),
    irregularity: random.between(0.02, 0.06),
    softness: random.between(0.12, 0.24),
    surface({ x, y, depth }, out) {
      blend(out, ring, 0.8);
      const ragged = depth + 0.14 * (valueNoise(x / 16, y / 16, seed) - 0.5);
      blend(out, scar, 0.95 * smoothStep(inner - 0.1, inner + 0.12, ragged));
    },
  };
}

/** A ragged, dark patchwork of several colours. */
function patchwork(random: Random): Appearance {
  const brown = vary([84, 54, 40], 8, random.normal);
  const black = vary([38, 28, 30], 5, random.normal);
  const blue = vary([104, 112, 138], 8, random.normal);
  const red = vary([150, 84, 80], 8, random.normal);
  const seed = random.whole(1, 1e6);
  const size = random.between(38, 60);
  return {
    radius: random.between(105, 160),
    irregularity: random.between(0.18, 0.3),
    softness: random.between(0.03, 0.09),
    surface({ x, y }, out) {
      blend(out, brown, 0.95);
      blend(out, black, 0.9 * smoothStep(0.52, 0.6, cloudNoise(x / size, y / size, seed)));
      blend(out, blue, 0.85 * smoothStep(0.6, 0.68, cloudNoise(x / size, y / size, seed + 11)));
      blend(out, red, 0.8 * smoothStep(0.64, 0.7, cloudNoise(x / size, y / size, seed + 23)));
    },
  };
}

/** An even, round, brown spot with a fine net. */
function evenSpot(random: Random): Appearance {
  const brown = vary([134, 90, 62], 11, random.normal);
  const dark = vary([96, 62, 44], 7, random.normal);
  const seed = random.whole(1, 1e6);
  return {
    radius: random.between(70, 125),
    irregularity: random.between(0.01, 0.05),
    softness: random.between(0.06, 0.16),
    surface({ x, y, depth }, out) {
      blend(out, brown, 0.92);
      blend(out, dark, 0.55 * smoothStep(0.1, 0.9, depth));
      blend(out, dark, 0.3 * smoothStep(0.55, 0.75, valueNoise(x / 6, y / 6, seed)));
    },
  };
}

/** Dark red and purple lagoons in a red field. */
function redLagoons(random: Random): Appearance {
  const field = vary([192, 84, 88], 9, random.normal);
  const lagoon = vary(
    random.pick([
      [124, 18, 44],
      [96, 22, 74],
    ]),
    8,
    random.normal,
  );
  const seed = random.whole(1, 1e6);
  const size = random.between(26, 38);
  return {
    radius: random.between(80, 135),
    irregularity: random.between(0.04, 0.12),
    softness: random.between(0.04, 0.1),
    surface({ x, y }, out) {
      blend(out, field, 0.92);
      blend(out, lagoon, 0.95 * smoothStep(0.45, 0.53, valueNoise(x / size, y / size, seed)));
    },
  };
}
