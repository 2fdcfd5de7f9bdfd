import { describeRecording } from '../../../test/recorded-models.js'
import { qwen3 } from './model.js'

describeRecording(qwen3, 'qwen3')
