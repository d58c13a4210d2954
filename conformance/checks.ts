import { assistantChecks } from './assistants.ts'
import { azureChecks } from './azure.ts'
import type { Check } from './check.ts'
import { errorChecks } from './errors.ts'
import { fileChecks } from './files.ts'
import { lifecycleChecks } from './lifecycle.ts'
import { memgptSiblingChecks } from './memgpt-siblings.ts'
import { memgptChecks } from './memgpt.ts'
import { messageChecks } from './messages.ts'
import { metadataChecks } from './metadata.ts'
import { pagingChecks } from './paging.ts'
import { runSettingChecks } from './run-settings.ts'
import { runChecks } from './runs.ts'
import { sdkChecks } from './sdk-flows.ts'
import { stepChecks } from './steps.ts'
import { streamingChecks } from './streaming.ts'
import { threadChecks } from './threads.ts'
import { transportChecks } from './transport.ts'

/** Every check, by area. */
export const areas: Record<string, Check[]> = {
  transport: transportChecks,
  paging: pagingChecks,
  assistants: assistantChecks,
  threads: threadChecks,
  messages: messageChecks,
  runs: runChecks,
  'settings of runs': runSettingChecks,
  'life of a run': lifecycleChecks,
  steps: stepChecks,
  streaming: streamingChecks,
  metadata: metadataChecks,
  errors: errorChecks,
  files: fileChecks,
  'memgpt dialect': [...memgptChecks, ...memgptSiblingChecks],
  azure: azureChecks,
  sdk: sdkChecks,
}

export const allChecks: Check[] = Object.values(areas).flat()
