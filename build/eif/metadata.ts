/**
 * The metadata section, mandatory from version 4: JSON in the published shape. Nobody measures it and nobody may trust it.
 * It is the usual reason why two builds of one image differ; here it holds neither the time nor the machine of the build.
 */
export interface MetadataFields {
  readonly name: string;
  readonly toolVersion: string;
  readonly kernelVersion: string;
  /** Anything else that helps a reader of the file. */
  readonly custom: Readonly<Record<string, string>>;
}

/** Readers of the format want a time to be there. */
const NO_TIME = '1970-01-01T00:00:00+00:00';

export function encodeMetadata({ name, toolVersion, kernelVersion, custom }: MetadataFields): Uint8Array {
  const metadata = {
    ImageName: name,
    ImageVersion: toolVersion,
    BuildMetadata: {
      BuildTime: NO_TIME,
      BuildTool: 'accord',
      BuildToolVersion: toolVersion,
      OperatingSystem: 'Linux',
      KernelVersion: kernelVersion,
    },
    DockerInfo: {},
    CustomMetadata: custom,
  };
  return new TextEncoder().encode(JSON.stringify(metadata));
}
