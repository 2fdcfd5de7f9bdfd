import { describeRecording } from '../../../test/recorded-models.js'
import { gptNeox } from './model.js'

describeRecording(gptNeox, 'gpt_neox')
describeRecording(gptNeox, 'gpt_neox_sequential')
