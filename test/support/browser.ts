import { chromium, type Browser } from 'playwright-core'

/** The system's Chromium, or the one that CHROMIUM names, with more flags. Names below .example lead to this machine. */
export function launchBrowser(...flags: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--host-resolver-rules=MAP *.example 127.0.0.1',
      ...flags,
    ],
  })
}
