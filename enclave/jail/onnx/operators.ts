/**
 * The operators a model may use: those of ONNX's own domain that a picture classifier or detector is made of, and that
 * are functions (nothing random, no state, no text, no files, no nested graphs). The size of a result follows from the shapes
 * of the inputs, from attributes, or from the values of the inputs in `SIZE_INPUTS`, which `checkWiring` lets no picture
 * reach: so every picture has a model take the same steps on tensors of the same sizes. How long a step takes may still
 * differ with the numbers in it (numbers near zero, the order TopK finds them in): that the jail and the policy's times bound.
 * Post-processing such as NonMaxSuppression is described in the manifest instead.
 */
export const OPERATORS: ReadonlySet<string> = new Set([
  // convolution, pooling, normalisation
  'AveragePool',
  'BatchNormalization',
  'Conv',
  'ConvTranspose',
  'GlobalAveragePool',
  'GlobalMaxPool',
  'GroupNormalization',
  'InstanceNormalization',
  'LRN',
  'LayerNormalization',
  'LpNormalization',
  'MaxPool',
  // products and sums
  'Einsum',
  'Gemm',
  'MatMul',
  'CumSum',
  // element by element
  'Abs',
  'Add',
  'And',
  'Cast',
  'Ceil',
  'Clip',
  'Cos',
  'Div',
  'Equal',
  'Erf',
  'Exp',
  'Floor',
  'Greater',
  'GreaterOrEqual',
  'Identity',
  'Less',
  'LessOrEqual',
  'Log',
  'Max',
  'Mean',
  'Min',
  'Mod',
  'Mul',
  'Neg',
  'Not',
  'Or',
  'Pow',
  'Reciprocal',
  'Round',
  'Sign',
  'Sin',
  'Sqrt',
  'Sub',
  'Sum',
  'Tanh',
  'Where',
  'Xor',
  // activations
  'Celu',
  'Elu',
  'Gelu',
  'HardSigmoid',
  'HardSwish',
  'LeakyRelu',
  'LogSoftmax',
  'Mish',
  'PRelu',
  'Relu',
  'Selu',
  'Sigmoid',
  'Softmax',
  'Softplus',
  'Softsign',
  'ThresholdedRelu',
  // shape and place
  'Concat',
  'Constant',
  'ConstantOfShape',
  'DepthToSpace',
  'Dropout',
  'Expand',
  'Flatten',
  'Gather',
  'GatherElements',
  'GatherND',
  'Pad',
  'Reshape',
  'Resize',
  'ScatterElements',
  'ScatterND',
  'Shape',
  'Size',
  'Slice',
  'SpaceToDepth',
  'Split',
  'Squeeze',
  'Tile',
  'Transpose',
  'Trilu',
  'Unsqueeze',
  'Upsample',
  // reductions
  'ArgMax',
  'ArgMin',
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
  'ReduceSumSquare',
  'TopK',
  // quantised models
  'ConvInteger',
  'DequantizeLinear',
  'DynamicQuantizeLinear',
  'MatMulInteger',
  'QLinearConv',
  'QLinearMatMul',
  'QuantizeLinear',
]);

const REDUCTION = { 1: 'axes' };

/**
 * Inputs whose values give a size, by their index, in any of the operator sets that are taken: an operator that is added
 * above and takes a size belongs here too. Older sets have some of them as attributes, which are fixed.
 */
export const SIZE_INPUTS: ReadonlyMap<string, Readonly<Record<number, string>>> = new Map(
  Object.entries({
    ConstantOfShape: { 0: 'input' },
    Expand: { 1: 'shape' },
    Pad: { 1: 'pads', 3: 'axes' },
    ReduceL1: REDUCTION,
    ReduceL2: REDUCTION,
    ReduceLogSum: REDUCTION,
    ReduceLogSumExp: REDUCTION,
    ReduceMax: REDUCTION,
    ReduceMean: REDUCTION,
    ReduceMin: REDUCTION,
    ReduceProd: REDUCTION,
    ReduceSum: REDUCTION,
    ReduceSumSquare: REDUCTION,
    Reshape: { 1: 'shape' },
    // Set 10 has the scales where later ones have the region, which gives a size in the mode tf_crop_and_resize.
    Resize: { 1: 'roi or scales', 2: 'scales', 3: 'sizes' },
    Slice: { 1: 'starts', 2: 'ends', 3: 'axes', 4: 'steps' },
    Split: { 1: 'split' },
    Squeeze: { 1: 'axes' },
    Tile: { 1: 'repeats' },
    TopK: { 1: 'k' },
    Unsqueeze: { 1: 'axes' },
    Upsample: { 1: 'scales' },
  }),
);

/** Their results follow from the shapes of their inputs, whatever these hold. */
export const SHAPE_ALONE: ReadonlySet<string> = new Set(['Shape', 'Size']);

/**
 * Over nothing (K = 0) onnxruntime's products hand out memory that it never wrote, where the picture may have been before
 * (`memory.test.ts`). What they and their kin give counts as the picture's, whatever they are given.
 */
export const MAY_LEAVE_UNWRITTEN: ReadonlySet<string> = new Set([
  'AveragePool',
  'Conv',
  'ConvInteger',
  'ConvTranspose',
  'Einsum',
  'Gemm',
  'MatMul',
  'MatMulInteger',
  'MaxPool',
  'QLinearConv',
  'QLinearMatMul',
]);

/** They run a nested graph as often as the data says: no bound on their time follows from the file. */
export const CONTROL_FLOW: ReadonlySet<string> = new Set(['If', 'Loop', 'Scan', 'SequenceMap']);

/** Operators that exporters like to add, and what to do instead. */
export const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['NonMaxSuppression', 'export the model without it; iouThreshold in the manifest does the same'],
  ['RandomNormal', 'a function must give the same answer twice'],
  ['RandomUniform', 'a function must give the same answer twice'],
  ['Range', 'export the model with fixed shapes'],
  ['NonZero', 'export the model with fixed shapes'],
]);
