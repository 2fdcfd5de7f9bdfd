import { describeRecording } from '../../../test/recorded-models.js'
import { qwen2 } from './model.js'

describeRecording(qwen2, 'qwen2')
