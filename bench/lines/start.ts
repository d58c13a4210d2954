import type { Line } from '../bench.ts'

export const start: Line = {
  name: 'start',
  about: 'from the start of the process to the first good answer of /readyz',
  own: true,
  async run(bench) {
    const { samples, options } = bench
    for (let round = 0; round < Math.min(options.rounds, 3); round++) {
      for (const subject of bench.subjects) {
        await bench.withFresh(subject, async (server) => {
          samples.add('ready on a new DATA_DIR, ms', subject.name, server.readyMs)
          await server.restart()
          samples.add('ready on an existing DATA_DIR, ms', subject.name, server.readyMs)
          // Its Postgres still runs then and is taken over.
          await server.restart('SIGKILL')
          samples.add('ready after kill -9, ms', subject.name, server.readyMs)
        })
      }
    }
  },
}
