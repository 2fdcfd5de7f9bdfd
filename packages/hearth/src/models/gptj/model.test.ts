import { describeRecording } from '../../../test/recorded-models.js'
import { gptJ } from './model.js'

describeRecording(gptJ, 'gptj')
