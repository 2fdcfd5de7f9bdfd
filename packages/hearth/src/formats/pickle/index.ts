// Files of torch.save, read without running what they hold.
export { readPytorch, type PickledEntry, type PytorchFile } from './pytorch-file.js'
