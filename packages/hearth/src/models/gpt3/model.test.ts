import { describeRecording } from '../../../test/recorded-models.js'
import { gpt3 } from './model.js'

describeRecording(gpt3, 'gpt3')
