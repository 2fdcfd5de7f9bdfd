// hearth/adapt: changes to a tree of weights, not to a model: LoRA and its kin, what of a model is trained, PEFT's files.
export {
  adapterWith,
  attachAdapter,
  createAdapter,
  loraIssues,
  type Adapter,
  type AdapterModule,
  type AdapterWeights,
  type AttachOptions,
  type LoraSettings,
} from './lora.js'
export { compareLogits, mergeAdapter, type LogitChange } from './merge.js'
export {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  adapterBase,
  isAdapterFolder,
  loadAdapter,
  saveAdapter,
  type SaveAdapterOptions,
} from './peft.js'
export { defaultTargets, linearModules, targetModules, type LinearModule, type Targets } from './targets.js'
