/**
 * A certificate for the servers with TLS, made for one run. P-256, because a small device verifies it fastest.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './programs.mjs';

export const SERVER_NAME = 'server.bench';

/**
 * @param {string} folder takes the files
 * @returns {{ certFile: string, keyFile: string, ca: string }} `ca` is the certificate itself: it is signed with its own key
 * @throws Error if `openssl` is missing
 */
export function createCertificate(folder) {
  const [certFile, keyFile] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
  const names = ['-subj', `/CN=${SERVER_NAME}`, '-addext', `subjectAltName=DNS:${SERVER_NAME}`];
  run(['openssl', 'req', '-x509', ...key, '-out', certFile, '-days', '2', ...names]);
  return { certFile, keyFile, ca: readFileSync(certFile, 'utf8') };
}
