#!/usr/bin/env node
/**
 * The command line `compcache`. Without a command it shows its help.
 *
 * Exit codes: 0 success; 1 a page came back different; 2 a mistake of the user or in the input, with one line on
 * stderr; 70 an error in this program.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { CompcacheError } from '../bindings/index.ts';
import { addBench } from './bench.ts';
import { addEstimate } from './estimate.ts';
import { InputError } from './pages.ts';
import { printable } from './report.ts';
import { addRzscontrol } from './rzscontrol.ts';
import { addServe } from './serve.ts';
import { addSwap } from './swap.ts';

const EXIT_USAGE = 2;
const EXIT_INTERNAL = 70;

/** The version in package.json, in a folder above this file. This file runs from cli/ and from dist/cli/. */
function version(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}

function createProgram(): Command {
  const program = new Command('compcache')
    .description('Compressed memory: the Linux allocators zbud, zsmalloc and others, on your own pages.')
    .version(version())
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
    .helpCommand(false);
  addEstimate(program);
  addSwap(program);
  addBench(program);
  addServe(program);
  addRzscontrol(program);
  addHelp(program);
  return program;
}

/** `compcache help [command]`. Commander's own help command ignores an unknown command. */
function addHelp(program: Command): void {
  program
    .command('help')
    .description('show the help of a command')
    .argument('[command]')
    .action((name?: string) => {
      const found = name === undefined ? program : program.commands.find((command) => command.name() === name);
      if (found === undefined)
        throw new InputError(
          `unknown command '${name}'; known: ${program.commands.map((command) => command.name()).join(', ')}`,
        );
      found.outputHelp();
    });
}

/** Prints an error. Returns the exit code. */
function fail(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : complain(usage(error));
  if (error instanceof InputError || error instanceof CompcacheError) return complain(error.message);
  process.stderr.write(`compcache: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
  return EXIT_INTERNAL;
}

function complain(message: string): number {
  process.stderr.write(`compcache: ${printable(message)}\n`);
  return EXIT_USAGE;
}

function usage({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'a command is needed; see compcache --help' : message.replace(/^error: /, '');
}

/** A reader that went away (`| head`) is not an error. Any other failure is. */
function outputFailed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') process.exitCode = complain(`cannot write the output: ${error.message}`);
}

process.stdout.on('error', outputFailed);
process.stderr.on('error', () => {});
try {
  const program = createProgram();
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  process.exitCode = fail(error);
}
