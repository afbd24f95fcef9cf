/** The Regions of the partition `aws`, as AWS lists them. A request must be scoped to one of these. */
export const REGIONS: readonly string[] = [
  'af-south-1',
  'ap-east-1',
  'ap-east-2',
  'ap-northeast-1',
  'ap-northeast-2',
  'ap-northeast-3',
  'ap-south-1',
  'ap-south-2',
  'ap-southeast-1',
  'ap-southeast-2',
  'ap-southeast-3',
  'ap-southeast-4',
  'ap-southeast-5',
  'ap-southeast-6',
  'ap-southeast-7',
  'ca-central-1',
  'ca-west-1',
  'eu-central-1',
  'eu-central-2',
  'eu-north-1',
  'eu-south-1',
  'eu-south-2',
  'eu-west-1',
  'eu-west-2',
  'eu-west-3',
  'il-central-1',
  'me-central-1',
  'me-south-1',
  'mx-central-1',
  'sa-east-1',
  'us-east-1',
  'us-east-2',
  'us-west-1',
  'us-west-2',
];

/** Host names of the services, `{region}` left open: what a policy's `trust` names as endpoints. */
export const ENDPOINTS = {
  kms: 'https://kms.{region}.accord.test',
  sts: 'https://sts.{region}.accord.test',
  s3: 'https://s3.{region}.accord.test',
} as const;

/** IAM is one service for all Regions; `*.accord.test` of the certificate covers it. */
export const IAM_HOST = 'iam.accord.test';

/** Every name the server answers to; before S3's stands the bucket in virtual-hosted requests. */
export function serverNames(): readonly string[] {
  const services = Object.values(ENDPOINTS).map((template) => new URL(template.replace('{region}', 'region')).hostname);
  return [
    'localhost',
    '*.accord.test',
    ...[...services, '*.s3.region.accord.test'].flatMap((name) =>
      REGIONS.map((region) => name.replace('region', region)),
    ),
  ];
}
