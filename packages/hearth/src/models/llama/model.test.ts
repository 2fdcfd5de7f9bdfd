import { describeRecording } from '../../../test/recorded-models.js'
import { llama } from './model.js'

describeRecording(llama, 'llama')
describeRecording(llama, 'llama_gqa')
