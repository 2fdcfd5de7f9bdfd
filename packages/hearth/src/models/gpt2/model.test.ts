import { describeRecording } from '../../../test/recorded-models.js'
import { gpt2 } from './model.js'

describeRecording(gpt2, 'gpt2')
