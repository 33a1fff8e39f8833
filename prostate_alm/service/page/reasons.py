"""Every reason code in words: what happened, and what the person at the scanner can do about it."""

from dataclasses import dataclass

from prostate_alm.errors import Reason


@dataclass(frozen=True)
class Explanation:
    """A reason as a radiographer reads it.

    Attributes:
        title: a few words.
        sentence: what happened.
        advice: what to do; of a fail-safe answer the DCE goes without saying, this is what may help beyond it.
    """

    title: str
    sentence: str
    advice: str


_SEND_AGAIN = "Export the study again and send it once more."
_CALL = "Tell whoever runs the service, with the number of this answer."
_NOTHING = "Nothing to do."

EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.INPUT_EMPTY: Explanation("Nothing received", "What was sent holds no image.", _SEND_AGAIN),
    Reason.INPUT_UNREADABLE: Explanation(
        "Files not readable", "The files are neither DICOM nor NIfTI, or they are damaged.", _SEND_AGAIN
    ),
    Reason.INPUT_TOO_LARGE: Explanation(
        "Too large",
        "The study is larger than the service accepts.",
        "Send only the T2, DWI and ADC series of this examination.",
    ),
    Reason.MULTIPLE_PATIENTS: Explanation(
        "More than one patient",
        "The files belong to more than one patient.",
        "Check the patient, then send one patient's study alone.",
    ),
    Reason.MULTIPLE_STUDIES: Explanation(
        "More than one examination", "The files belong to more than one examination.", "Send today's examination alone."
    ),
    Reason.T2_MISSING: Explanation(
        "No axial T2", "No axial T2-weighted series was found.", "Acquire or send the axial T2 series."
    ),
    Reason.DWI_MISSING: Explanation(
        "No DWI", "No diffusion-weighted series was found.", "Acquire or send the DWI series, not only its ADC map."
    ),
    Reason.ADC_MISSING: Explanation(
        "No ADC map",
        "There is no ADC map, and too few b-values to compute one.",
        "Send the ADC map, or DWI with at least two b-values.",
    ),
    Reason.B_VALUE_UNKNOWN: Explanation(
        "b-values unknown", "The b-values of the DWI series can't be told.", "Send the scanner's original DWI series."
    ),
    Reason.HIGH_B_MISSING: Explanation(
        "No high b-value",
        "No acquired b-value lies between 500 and 1500 s/mm²; computed images do not count.",
        "Acquire or send DWI with b 800 to 1000 s/mm².",
    ),
    Reason.STUDY_AMBIGUOUS: Explanation(
        "Study not clear", "Several studies fit, and the service does not guess which one counts.", _SEND_AGAIN
    ),
    Reason.SERIES_AMBIGUOUS: Explanation(
        "Series not clear",
        "Several series fit equally well, and the service does not guess which one counts.",
        "If one was repeated, send the study without the discarded series.",
    ),
    Reason.SERIES_NOT_FOUND: Explanation(
        "Series not found", "A series that was asked for by number is not in the study.", "Check the series numbers."
    ),
    Reason.SLICE_MISSING: Explanation(
        "Slices missing", "A series has a gap: not all of its slices arrived.", "Send the complete series again."
    ),
    Reason.SLICE_DUPLICATE: Explanation(
        "Slices twice",
        "A series holds more than one image at the same place.",
        "If it was repeated, send the study without the discarded series.",
    ),
    Reason.ORIENTATION_MIXED: Explanation(
        "Mixed orientation", "The slices of a series are not parallel.", "Send the series without its localizers."
    ),
    Reason.SPACING_MIXED: Explanation(
        "Uneven slices", "The slices of a series are not evenly spaced, or not of one size.", "Send the whole series."
    ),
    Reason.GEOMETRY_INVALID: Explanation(
        "Position unknown", "Where the images lie in the patient can't be told.", "Send the scanner's original images."
    ),
    Reason.PIXELS_UNREADABLE: Explanation(
        "Pixels not readable", "The pixel data of an image can't be decoded.", "Export it again, uncompressed."
    ),
    Reason.FRAME_OF_REFERENCE_DIFFERS: Explanation(
        "T2 and DWI not aligned",
        "T2 and DWI were not acquired in one position of the patient.",
        "If the patient was repositioned, acquire both again.",
    ),
    Reason.COVERAGE_LOW: Explanation(
        "Too few slices", "T2 or DWI covers too little of the region around the prostate.", "Check the slice stack."
    ),
    Reason.ADC_OUT_OF_RANGE: Explanation(
        "ADC out of range",
        "The ADC values in the middle of the image are not those of tissue.",
        "Check that the series is an ADC map, and its units.",
    ),
    Reason.ADC_SCALE_UNKNOWN: Explanation(
        "ADC unit unknown", "The unit of the ADC map can't be told.", "Send the scanner's original ADC map."
    ),
    Reason.VOLUME_CONSTANT: Explanation(
        "Image without content",
        "A series is empty, or masked where the prostate is expected.",
        "Look at the series at the scanner; acquire it again if it is empty.",
    ),
    Reason.VOLUME_SATURATED: Explanation(
        "Image saturated",
        "Too many voxels have the largest possible value.",
        "Look at the series at the scanner; check the receiver gain.",
    ),
    Reason.FIELD_OF_VIEW_SMALL: Explanation(
        "Prostate not covered",
        "T2 and DWI do not both cover the region where the prostate is expected.",
        "Check that both stacks are centred on the prostate.",
    ),
    Reason.MOTION_SUSPECTED: Explanation(
        "Motion", "The DWI shows ghosts, as motion leaves them.", "Consider acquiring the DWI again."
    ),
    Reason.SUSCEPTIBILITY_SUSPECTED: Explanation(
        "Susceptibility artefact",
        "The DWI lacks signal on one side, as beside a metal implant.",
        "Look at the DWI; beside an implant it can't be relied on.",
    ),
    Reason.CONTRAST_GIVEN: Explanation(
        "Contrast already given",
        "A header says that a contrast agent was given before these images.",
        "Go on with DCE; images after contrast can't be judged.",
    ),
    Reason.ADC_DISAGREES: Explanation(
        "ADC and DWI disagree",
        "The ADC map does not follow from the DWI: it may be another map, or another series.",
        "Check which series is the ADC map of this DWI.",
    ),
    Reason.SIGNAL_RISES_WITH_B: Explanation(
        "b-values contradicted",
        "The DWI signal rises from one b-value to the next, as it never does in tissue.",
        "Check the b-values; send the scanner's original DWI series.",
    ),
    Reason.OUT_OF_DISTRIBUTION: Explanation(
        "Unlike the validated images",
        "The images differ from all that the model was validated on.",
        "Check the protocol: sequence, b-values, coil, body part.",
    ),
    Reason.MEMBERS_DISAGREE: Explanation(
        "The networks disagree", "The networks of the ensemble differ more than in validation.", _NOTHING
    ),
    Reason.NEAR_THRESHOLD: Explanation(
        "Too near the threshold", "The score lies so near the threshold that it can't be relied on.", _NOTHING
    ),
    Reason.ADC_COMPUTED: Explanation(
        "ADC computed here", "The study has no ADC map; it was fitted from the acquired b-values.", _NOTHING
    ),
    Reason.ADC_RESCALED: Explanation(
        "ADC unit converted", "The ADC map came in another unit and was converted.", _NOTHING
    ),
    Reason.SERIES_NAMED_BY_HAND: Explanation(
        "Series named by hand", "Which series to use was named by hand.", _NOTHING
    ),
    Reason.LOGIT_NOT_FINITE: Explanation("No score", "The model gave no usable number for this study.", _CALL),
    Reason.ENSEMBLE_INVALID: Explanation(
        "Model not usable", "The model's files are not the ones that were approved, or they are incomplete.", _CALL
    ),
    Reason.MEMBER_MISSING: Explanation(
        "Part of the model missing", "Not all networks of the ensemble answered.", _CALL
    ),
    Reason.MODEL_DIFFERS: Explanation(
        "Another model answered", "The study was scored by another model than the one it was accepted for.", _CALL
    ),
    Reason.STUDY_INCOMPLETE: Explanation(
        "Study not complete",
        "Not all of T2, DWI and ADC arrived in time.",
        "Send the missing series; a new answer follows.",
    ),
    Reason.NOT_STORED: Explanation("Answer not stored", "The answer could not be stored, so it is not given.", _CALL),
    Reason.TIMEOUT: Explanation(
        "No answer in time", "There was no answer before the deadline.", "Sending the study once more may help."
    ),
    Reason.WORKER_LOST: Explanation("Computation ended", "The computation ended twice before its answer.", _CALL),
    Reason.INTERNAL_ERROR: Explanation("Error in the service", "Something unforeseen happened in the service.", _CALL),
    Reason.SUPERSEDED: Explanation(
        "More images came",
        "More of this study arrived after this answer, which was given without it.",
        "Look at the later answer.",
    ),
    Reason.SILENT_MODE: Explanation(
        "Silent trial",
        "The service runs in silence: the model's answer is recorded, and nobody sees it.",
        "Image as without the service.",
    ),
    Reason.RANDOM_AUDIT: Explanation(
        "Random audit",
        "This study was drawn at random to check the service. It says nothing of the patient.",
        "DCE is part of the check: please do not leave it out.",
    ),
}
"""One for every `Reason`; a test holds it complete."""
