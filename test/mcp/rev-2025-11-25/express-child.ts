/** The example's Express app as a process of its own, behind a verifier that takes the token for the subject. */
import { flightsApp } from '../../../examples/mcp/express.js'

const { dir, port, held } = JSON.parse(process.argv[2] as string) as { dir: string; port: number; held?: boolean }
if (held) {
  process.stderr.write('ready\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  process.stdin.destroy()
}
const verifier = {
  verifyAccessToken: async (token: string) => ({
    token,
    clientId: 'app',
    scopes: [],
    expiresAt: Math.floor(Date.now() / 1_000) + 3_600,
    extra: { sub: token, iss: 'https://issuer.example' },
  }),
}
const { app } = await flightsApp(dir, verifier, { retryInterval: '2s' })
app.listen(port, '127.0.0.1', () => process.stderr.write('listening\n'))
