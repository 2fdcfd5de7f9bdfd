import { describeRecording } from '../../../test/recorded-models.js'
import { mistral } from './model.js'

describeRecording(mistral, 'mistral')
