import { describeRecording } from '../../../test/recorded-models.js'
import { stableLm } from './model.js'

describeRecording(stableLm, 'stablelm')
describeRecording(stableLm, 'stablelm_epoch')
