import { describeRecording } from '../../../test/recorded-models.js'
import { mixtral } from './model.js'

describeRecording(mixtral, 'mixtral')
