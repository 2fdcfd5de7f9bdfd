import { describeRecording } from '../../../test/recorded-models.js'
import { stableLmAlpha } from './model.js'

describeRecording(stableLmAlpha, 'stablelm_alpha')
