import tseslint from 'typescript-eslint';

export default tseslint.config(
  // AssemblyScript is TypeScript in syntax only: its compiler is its linter.
  {
    ignores: [
      'dist/',
      'build/',
      'node_modules/',
      'bindings/generated/',
      'assembly/',
      'test/contributor/files/',
      'coverage/',
      'test/generated/',
    ],
  },
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
);
