// hearth/formats: models in the files of others.
export { loadModel, type LoadModelOptions } from './hugging-face/load-model.js'
export { saveModel, type SaveModelOptions } from './hugging-face/save-model.js'
