import { describeRecording } from '../../../test/recorded-models.js'
import { gptNeo } from './model.js'

describeRecording(gptNeo, 'gpt_neo')
