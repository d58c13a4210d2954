import type { App } from '../app.ts'

/** What a server says of itself when it listens. */
export function banner(app: App): string {
  const lines = [
    '',
    `  Threadmill serves the OpenAI Assistants API at ${app.url}/v1`,
    '',
    `  store  ${app.storeDescription}`,
    `  model  ${app.model}`,
    ...(app.notice ? [`  note   ${app.notice}`] : []),
    '',
    '  Try it:',
    `    A=$(curl -s ${app.url}/v1/assistants -H 'content-type: application/json' \\`,
    `      -d '{"model":"demo"}' | grep -o 'asst_[A-Za-z0-9]*')`,
    `    curl -sN ${app.url}/v1/threads/runs -H 'OpenAI-Beta: assistants=v2' -H 'content-type: application/json' \\`,
    `      -d '{"assistant_id":"'$A'","stream":true,"thread":{"messages":[{"role":"user","content":"Hello!"}]}}'`,
    '',
    '  An app moves here by changing its base URL:',
    `    new OpenAI({ baseURL: '${app.url}/v1', apiKey: 'unused' })`,
    '',
  ]
  return lines.join('\n') + '\n'
}
