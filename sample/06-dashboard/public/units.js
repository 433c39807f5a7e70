/**
 * Units and decimals. A board sends bare numbers, so the last word of a metric tells them: `temperature`, and also
 * `water_temperature` and `roof.temperature`. Change them to what your boards send.
 */
const UNITS = {
  co2: { unit: 'ppm', digits: 0 },
  humidity: { unit: '%', digits: 1 },
  light: { unit: 'lx', digits: 0 },
  noise: { unit: 'dB', digits: 1 },
  pressure: { unit: 'hPa', digits: 1 },
  temperature: { unit: '°C', digits: 1 },
  voltage: { unit: 'V', digits: 2 },
};

/** Without a known unit, the size of a value decides on its decimals. */
export function unitOf(metric) {
  const [word] = metric.toLowerCase().split(/[._-]/).slice(-1);
  return Object.hasOwn(UNITS, word) ? UNITS[word] : { unit: '', digits: undefined };
}
