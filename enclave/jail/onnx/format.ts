/**
 * The messages of the ONNX format (onnx.proto, IR versions 3 to 11) as far as they are taken, and what is refused of
 * them. int32_data and int64_data carry a tensor's elements, so they are counted without being kept.
 */
import type { MessageRule } from './protobuf.ts';

const refused = (name: string) => ({ is: 'refused', code: 'model/unsupported-field', name }) as const;
const graph = (name: string) => ({ is: 'refused', code: 'model/control-flow', name }) as const;
const int = (name: string) => ({ is: 'int', name }) as const;
const bytes = (name: string) => ({ is: 'bytes', name }) as const;
const ints = (name: string) => ({ is: 'int', many: true, name }) as const;
const all = (name: string) => ({ is: 'bytes', many: true, name }) as const;

export const MODEL: MessageRule = {
  message: 'ModelProto',
  fields: {
    1: int('ir_version'),
    2: bytes('producer_name'),
    3: bytes('producer_version'),
    4: bytes('domain'),
    5: int('model_version'),
    6: bytes('doc_string'),
    7: bytes('graph'),
    8: all('opset_import'),
    14: all('metadata_props'),
    20: refused('training_info'),
    25: refused('functions'),
    26: refused('configuration'),
  },
};

export const OPSET: MessageRule = {
  message: 'OperatorSetIdProto',
  fields: { 1: bytes('domain'), 2: int('version') },
};

export const GRAPH: MessageRule = {
  message: 'GraphProto',
  fields: {
    1: all('node'),
    2: bytes('name'),
    5: all('initializer'),
    10: bytes('doc_string'),
    11: all('input'),
    12: all('output'),
    13: all('value_info'),
    14: all('quantization_annotation'),
    15: refused('sparse_initializer'),
    16: all('metadata_props'),
  },
};

export const NODE: MessageRule = {
  message: 'NodeProto',
  fields: {
    1: all('input'),
    2: all('output'),
    3: bytes('name'),
    4: bytes('op_type'),
    5: all('attribute'),
    6: bytes('doc_string'),
    7: bytes('domain'),
    8: bytes('overload'),
    9: all('metadata_props'),
    10: refused('device_configurations'),
  },
};

export const ATTRIBUTE: MessageRule = {
  message: 'AttributeProto',
  fields: {
    1: bytes('name'),
    2: { is: 'float', name: 'f' },
    3: int('i'),
    4: bytes('s'),
    5: bytes('t'),
    6: graph('g'),
    7: { is: 'float', many: true, kept: true, name: 'floats' },
    8: ints('ints'),
    9: all('strings'),
    10: all('tensors'),
    11: graph('graphs'),
    13: bytes('doc_string'),
    14: refused('tp'),
    15: refused('type_protos'),
    20: int('type'),
    21: refused('ref_attr_name'),
    22: refused('sparse_tensor'),
    23: refused('sparse_tensors'),
  },
};

export const TENSOR: MessageRule = {
  message: 'TensorProto',
  fields: {
    1: ints('dims'),
    2: int('data_type'),
    3: refused('segment'),
    4: { is: 'float', many: true, name: 'float_data' },
    5: ints('int32_data'),
    6: refused('string_data'),
    7: ints('int64_data'),
    8: bytes('name'),
    9: bytes('raw_data'),
    10: { is: 'double', many: true, name: 'double_data' },
    11: ints('uint64_data'),
    12: bytes('doc_string'),
    13: { is: 'refused', code: 'model/external-data', name: 'external_data' },
    14: int('data_location'),
    16: all('metadata_props'),
  },
};

export const VALUE: MessageRule = {
  message: 'ValueInfoProto',
  fields: { 1: bytes('name'), 2: bytes('type'), 3: bytes('doc_string'), 4: all('metadata_props') },
};

export const TYPE: MessageRule = {
  message: 'TypeProto',
  fields: {
    1: bytes('tensor_type'),
    4: refused('sequence_type'),
    5: refused('map_type'),
    6: bytes('denotation'),
    7: refused('opaque_type'),
    8: refused('sparse_tensor_type'),
    9: refused('optional_type'),
  },
};

export const TENSOR_TYPE: MessageRule = {
  message: 'TypeProto.Tensor',
  fields: { 1: int('elem_type'), 2: bytes('shape') },
};

export const SHAPE: MessageRule = { message: 'TensorShapeProto', fields: { 1: all('dim') } };

export const DIMENSION: MessageRule = {
  message: 'TensorShapeProto.Dimension',
  fields: { 1: int('dim_value'), 2: bytes('dim_param'), 3: bytes('denotation') },
};

/** Element types that are taken (TensorProto.DataType), their names and their size in bytes. */
export const ELEMENTS: Readonly<Record<number, { readonly name: string; readonly bytes: number }>> = {
  1: { name: 'float32', bytes: 4 },
  2: { name: 'uint8', bytes: 1 },
  3: { name: 'int8', bytes: 1 },
  4: { name: 'uint16', bytes: 2 },
  5: { name: 'int16', bytes: 2 },
  6: { name: 'int32', bytes: 4 },
  7: { name: 'int64', bytes: 8 },
  9: { name: 'bool', bytes: 1 },
  10: { name: 'float16', bytes: 2 },
  11: { name: 'float64', bytes: 8 },
  12: { name: 'uint32', bytes: 4 },
  13: { name: 'uint64', bytes: 8 },
};
