// Lint rules. Style is Prettier's; here are the rules that keep the code sound and readable: strict types, short files
// and functions, no test left switched off, and our own rule for the order of packages and folders.
import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'
import folderOrder from './scripts/lint/folder-order.mjs'

const TESTS = ['**/*.test.ts', '**/*.test.mjs', 'packages/*/test/**']

/** Comments count: an explanation that needs forty lines belongs in the documentation. */
const length = { skipBlankLines: true, skipComments: false }

const switchedOffTest = {
  selector: 'MemberExpression[object.name=/^(describe|test|it)$/][property.name=/^(only|skip|todo|fails)$/]',
  message:
    'A test that is switched off, or that switches others off, does not stay in the tree (test.skipIf(...) may).',
}

export default defineConfig(
  globalIgnores(['**/dist/', '**/build/', '.cache/', 'runs/', 'coverage/', 'fixtures/', '**/*.generated.ts']),
  js.configs.recommended,
  {
    plugins: { local: { rules: { 'folder-order': folderOrder } } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'local/folder-order': 'error',
      'max-lines': ['error', { max: 300, ...length }],
      'max-lines-per-function': ['error', { max: 40, IIFEs: true, ...length }],
      'no-restricted-syntax': ['error', switchedOffTest],
      eqeqeq: 'error',
      'prefer-const': 'error',
      'object-shorthand': 'error',
    },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: { console: 'readonly', performance: 'readonly', process: 'readonly', URL: 'readonly' },
    },
  },
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.tools.json', './packages/studio/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // `values[i]!` inside a loop over the indices is how numerical code reads under noUncheckedIndexedAccess.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // [...text] goes by code points, which is what tokenizers mean by it.
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // A function that reads a value from outside and says its type is called with that type: read<Config>(file).
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
    },
  },
  { files: TESTS, rules: { 'max-lines-per-function': 'off' } },
)
