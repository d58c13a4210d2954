import { Api, inParallel } from './api.ts'

// A process that keeps runs executing until it is ended: node bench/busy.ts BASE HOW_MANY. It says "busy" when it begins.

const [base = '', howMany = '64'] = process.argv.slice(2)
const api = new Api(base)
const assistant = await api.assistant()
console.log('busy')
await inParallel(Infinity, Number(howMany), async (i) => {
  const thread = await api.thread(`hello ${i}`)
  await api.timedRun(thread, assistant)
})
